-- Tells the gates of these jobs of one queue, which are locked, that they start. Only under the lock of the limited claim.
create or replace function headrace.take_slots(ids uuid[], turn double precision, moment timestamptz) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_mergejoin = off
as $$
#variable_conflict use_column
declare
    now_us constant bigint := floor(extract(epoch from moment) * 1000000);
    line text;
    line_turn double precision;
begin
    select j.queue into line from headrace.job j where j.id = ids[1];
    select f.turn into line_turn from headrace.flow_queue f where f.queue = line;
    with lane as materialized (
        select j.lane, count(*)::integer as jobs, (array_agg(j.id))[1] as job
        from headrace.job j where j.id = any(ids) group by j.lane
    ), taken as (
        select (p.pair ->> 0)::bigint as limit_id, p.pair ->> 1 as key, sum(l.jobs)::integer as jobs,
               (array_agg(l.job))[1] as job
        from lane l cross join lateral jsonb_array_elements(l.lane::jsonb - 0) as p(pair)
        group by 1, 2
    )
    insert into headrace.flow_gate as g (limit_id, key, held, tat_us, step_us, turn, holder)
    select t.limit_id, t.key, t.jobs,
           case when m.kind = 'rate' then now_us + t.jobs * r.step_us else 0 end, r.step_us,
           case when m.kind = 'fair'
                then line_turn + t.jobs / coalesce((m.settings #>> array['weights', t.key])::float8, 1) else 0 end,
           case when m.kind = 'order' then t.job end
    from taken t
    join headrace.flow_limit m on m.id = t.limit_id
    cross join lateral (
        select case when m.kind = 'rate' then ceil(extract(epoch from m.span) * 1000000 / m.bound)::bigint else 1 end as step_us) r
    order by t.limit_id, t.key
    on conflict (limit_id, key) do update
    set held = g.held + excluded.held,
        tat_us = case when excluded.tat_us = 0 then g.tat_us
                      else excluded.tat_us
                           + greatest(0, (g.tat_us - now_us)::numeric * excluded.step_us / g.step_us)::bigint end,
        step_us = excluded.step_us,
        turn = case when excluded.turn = 0 then g.turn else greatest(g.turn, line_turn) + excluded.turn - line_turn end,
        holder = coalesce(excluded.holder, g.holder),
        probes = case when g.state = 'half_open' then g.probes + excluded.held else g.probes end;
    update headrace.flow_queue f set turn = take_slots.turn
    where f.queue = line and f.turn < take_slots.turn;
end
$$;
