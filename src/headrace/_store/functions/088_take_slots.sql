-- Tells the gates of these jobs of one queue, which are locked, that they start. Only under the lock of the limited claim.
create or replace function headrace.take_slots(ids uuid[], turn double precision, moment timestamptz) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_mergejoin = off
set jit = off
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
    ), pair as materialized (
        select (p.pair ->> 0)::bigint as limit_id, p.pair ->> 1 as key, sum(l.jobs)::integer as jobs, (array_agg(l.job))[1] as job
        from lane l cross join lateral jsonb_array_elements(l.lane::jsonb - 0) as p(pair)
        group by 1, 2
    ), taken as materialized (
        select p.limit_id, p.key, p.jobs, m.kind,
               case when m.kind = 'rate' then floor(extract(epoch from m.changed_at) * 1000000)::bigint end as changed_us,
               case when m.kind = 'rate' then ceil(extract(epoch from m.span) * 1000000 / m.bound)::bigint else 1 end as step_us,
               case when m.kind = 'fair'
                    then p.jobs / coalesce((m.settings #>> array['weights', p.key])::float8, 1) end as turns,
               case when m.kind = 'order' then p.job end as holder
        from pair p join headrace.flow_limit m on m.id = p.limit_id
    ), known as (
        update headrace.flow_gate g
        set held = g.held + t.jobs,
            tat_us = case when t.kind = 'rate' then
                         now_us + t.jobs * t.step_us + headrace.rate_ahead(g.tat_us, g.step_us, t.step_us, t.changed_us, now_us)
                     else g.tat_us end,
            step_us = t.step_us,
            turn = coalesce(greatest(g.turn, line_turn) + t.turns, g.turn),
            holder = coalesce(t.holder, g.holder),
            probes = case when g.state = 'half_open' then g.probes + t.jobs else g.probes end
        from taken t
        where g.limit_id = t.limit_id and g.key = t.key
        returning g.limit_id, g.key
    )
    insert into headrace.flow_gate (limit_id, key, held, tat_us, step_us, turn, holder)
    select t.limit_id, t.key, t.jobs, case when t.kind = 'rate' then now_us + t.jobs * t.step_us else 0 end, t.step_us,
           coalesce(line_turn + t.turns, 0), t.holder
    from taken t
    where not exists (select from known k where k.limit_id = t.limit_id and k.key = t.key);
    update headrace.flow_queue f set turn = take_slots.turn
    where f.queue = line and f.turn < take_slots.turn;
end
$$;
