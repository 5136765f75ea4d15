-- The next lanes of a queue behind a given one, at most `most`, with each of the priorities that wait in them: a loose scan of their
-- index, one look for each, however many jobs they have.
create or replace function headrace.find_lanes(queue text, after_lane text, after_rank integer, most integer)
    returns table (lane text, rank integer)
language plpgsql stable
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
set jit = off
set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
begin
    return query
    with recursive found (lane, rank, number) as (
        (select j.lane, -j.priority::integer, 1
         from headrace.job j
         where j.queue = find_lanes.queue and j.position is not null and j.suspicion = 0 and j.lane is not null
           and (j.lane, -j.priority::integer) > (after_lane collate "C", after_rank)
         order by j.lane, (-j.priority::integer), j.position
         limit 1)
        union all
        select n.lane, n.rank, f.number + 1
        from found f
        cross join lateral (
            select j.lane, -j.priority::integer as rank
            from headrace.job j
            where j.queue = find_lanes.queue and j.position is not null and j.suspicion = 0 and j.lane is not null
              and (j.lane, -j.priority::integer) > (f.lane, f.rank)
            order by j.lane, (-j.priority::integer), j.position
            limit 1) n
        where f.number < most
    )
    select f.lane, f.rank from found f;
end
$$;
