-- Puts the first queued jobs of a limited queue in their lanes, a chunk of those that no lane has yet. Scans as claim_jobs does, and
-- answers for each priority that it found the first position (of those that are positive) and the last, and how many: for the marks. See marks.py.
create or replace function headrace.sort_into_lanes(
    queue text, chunk integer, lows smallint[], highs smallint[], afters bigint[], befores bigint[]
) returns table (rank integer, "first" bigint, "last" bigint, jobs integer)
language plpgsql
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_bitmapscan = off
set enable_sort = off
set jit = off
as $$
#variable_conflict use_column
declare
    found uuid[];
begin
    found := array(
        select w.id
        from unnest(lows, highs, afters, befores) as s(low, high, after, before)
        cross join lateral (
            select case when s.low = s.high then s.low else (
                select w.priority from headrace.job w
                where w.queue = sort_into_lanes.queue and w.priority between s.low and s.high
                  and w.position is not null and w.suspicion = 0 and w.lane is null and w.state = 'queued'
                order by w.priority desc, w.position limit 1) end as priority) p
        cross join lateral (
            select w.id from headrace.job w
            where w.queue = sort_into_lanes.queue and w.priority = p.priority
              and w.position > s.after and w.position < s.before
              and w.position is not null and w.suspicion = 0 and w.lane is null and w.state = 'queued'
            order by w.position
            limit chunk
            for no key update skip locked) w
        limit chunk);
    if cardinality(found) = 0 then
        return;
    end if;
    return query
    with moved as (
        update headrace.job j
        set lane = (select n.lane from headrace.lane_of(j.queue, j.task, j.tenant, j.args, j.id, j.created_at) n)
        where j.id = any(found)
        returning -j.priority::integer as rank, j.position
    )
    select m.rank, min(m.position) filter (where m.position > 0), max(m.position), count(*)::integer from moved m group by m.rank;
end
$$;
