-- Adds up what settles, rescues and hand-backs have given back. Only under the lock of the limited claim.
--
-- All gates that are told are there: ON CONFLICT finds them by their index whatever statistics say, where a join that was planned
-- while there were none read all gates for each of them (ENGINE 4).
create or replace function headrace.fold_releases(moment timestamptz) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_nestloop = off
set enable_mergejoin = off
set jit = off
as $$
begin
    with gone as (
        delete from headrace.flow_release returning lanes, outcomes, claimed_ats
    ), ended as (
        select e.lane, e.outcome, e.claimed_at, count(*) as jobs
        from gone g cross join lateral unnest(g.lanes, g.outcomes, g.claimed_ats) as e(lane, outcome, claimed_at)
        group by e.lane, e.outcome, e.claimed_at
    ), counted as (
        select (p.pair ->> 0)::bigint as limit_id, p.pair ->> 1 as key, e.outcome, e.claimed_at, sum(e.jobs)::integer as jobs
        from ended e cross join lateral jsonb_array_elements(e.lane::jsonb - 0) as p(pair)
        group by 1, 2, 3, 4
    ), summed as materialized (
        -- What was started before a breaker came to its state says nothing about it.
        select c.limit_id, c.key, sum(c.jobs)::integer as jobs,
               coalesce(sum(c.jobs) filter (where c.outcome = 'succeeded' and c.claimed_at >= g.since), 0)::integer as succeeded,
               coalesce(sum(c.jobs) filter (where c.outcome in ('failed', 'retried') and c.claimed_at >= g.since), 0)::integer
                   as failed,
               coalesce(sum(c.jobs) filter (where c.outcome not in ('succeeded', 'failed', 'retried')
                                                  and c.claimed_at >= g.since), 0)::integer as neither
        from counted c
        cross join lateral (
            select f.since from headrace.flow_gate f where f.limit_id = c.limit_id and f.key = c.key limit 1) g
        group by c.limit_id, c.key
    )
    insert into headrace.flow_gate as g (limit_id, key, held, succeeded, failed, probes)
    select s.limit_id, s.key, -s.jobs, s.succeeded, s.failed, s.neither from summed s
    on conflict (limit_id, key) do update
    set held = g.held + excluded.held, succeeded = g.succeeded + excluded.succeeded, failed = g.failed + excluded.failed,
        probes = case when g.state = 'half_open' then greatest(0, g.probes - excluded.probes) else g.probes end;
    if exists (select from headrace.flow_limit m where m.kind = 'breaker') then
        perform headrace.turn_breakers(moment);
    end if;
end
$$;
