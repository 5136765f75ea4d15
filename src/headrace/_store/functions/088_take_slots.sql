-- Tells the gates of these jobs of one queue, which are locked and in these lanes, that they start. Only under the lock of the
-- limited claim; for how its plan is kept from depending on statistics see fold_releases.
create or replace function headrace.take_slots(
    line text, ids uuid[], lanes text[], turn double precision, moment timestamptz
) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_nestloop = off
set enable_mergejoin = off
set jit = off
as $$
#variable_conflict use_column
declare
    now_us constant bigint := floor(extract(epoch from moment) * 1000000);
    line_turn double precision;
begin
    select f.turn into line_turn from headrace.flow_queue f where f.queue = line;
    with lane as materialized (
        select s.lane, count(*)::integer as jobs, (array_agg(s.job))[1] as job
        from unnest(ids, lanes) as s(job, lane) group by s.lane
    ), pair as materialized (
        select (p.pair ->> 0)::bigint as limit_id, p.pair ->> 1 as key, sum(l.jobs)::integer as jobs, (array_agg(l.job))[1] as job
        from lane l cross join lateral jsonb_array_elements(l.lane::jsonb - 0) as p(pair)
        group by 1, 2
    ), told as materialized (
        select p.limit_id, p.key, coalesce(g.held, 0) + p.jobs as held,
               case when m.kind = 'rate' then now_us + p.jobs * r.step_us + headrace.rate_ahead(
                        coalesce(g.tat_us, 0), coalesce(g.step_us, r.step_us), r.step_us,
                        floor(extract(epoch from m.changed_at) * 1000000)::bigint, now_us)
                    else coalesce(g.tat_us, 0) end as tat_us,
               coalesce(r.step_us, 1) as step_us,
               case when m.kind = 'fair' then greatest(coalesce(g.turn, 0), line_turn)
                                              + p.jobs / coalesce((m.settings #>> array['weights', p.key])::float8, 1)
                    else coalesce(g.turn, 0) end as turn,
               case when m.kind = 'order' then p.job else g.holder end as holder,
               coalesce(g.probes, 0) + case when g.state = 'half_open' then p.jobs else 0 end as probes
        from pair p
        join headrace.flow_limit m on m.id = p.limit_id
        left join lateral (
            select f.held, f.tat_us, f.step_us, f.turn, f.holder, f.state, f.probes
            from headrace.flow_gate f where f.limit_id = p.limit_id and f.key = p.key limit 1) g on true
        cross join lateral (
            select case when m.kind = 'rate' then ceil(extract(epoch from m.span) * 1000000 / m.bound)::bigint end as step_us) r
    )
    insert into headrace.flow_gate (limit_id, key, held, tat_us, step_us, turn, holder, probes)
    select t.limit_id, t.key, t.held, t.tat_us, t.step_us, t.turn, t.holder, t.probes from told t
    on conflict (limit_id, key) do update
    set held = excluded.held, tat_us = excluded.tat_us, step_us = excluded.step_us, turn = excluded.turn,
        holder = excluded.holder, probes = excluded.probes;
    update headrace.flow_queue f set turn = take_slots.turn
    where f.queue = line and f.turn < take_slots.turn;
end
$$;
