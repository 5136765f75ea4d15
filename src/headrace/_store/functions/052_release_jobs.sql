-- Ends attempts whose jobs run again, and records them: retried (spends an attempt), snoozed, handed_back, parked (no worker
-- knows the task), waiting (for the event that its error names, so long; see release_waiting), lost (the worker's lease ended: the
-- job becomes a suspect). With a worker only what that worker holds under that run. Answers the ids that it released; not those that are asked to cancel, which finish_jobs ends. Jobs that
-- keep their place go to the head of the line, in their old order: a negative position, since scans may start behind the old one.
-- For how its plan is kept from depending on statistics see finish_jobs.
create or replace function headrace.release_jobs(
    worker bigint, ids uuid[], runs integer[], outcomes text[], waits_s double precision[], errors text[]
) returns setof uuid
language plpgsql
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_nestloop = off
set enable_mergejoin = off
set jit = off
as $$
declare
    released uuid[];
    woken text[];
begin
    with held as materialized (
        select j.id, j.run, j.worker_id, j.claimed_at, j.queue, j.lane, o.outcome, o.wait_s, o.error
        from headrace.job j
        join unnest(ids, runs, outcomes, waits_s, errors) as o(id, run, outcome, wait_s, error) on o.id = j.id and o.run = j.run
        where j.id = any(ids) and j.state = 'running' and (worker is null or j.worker_id = worker) and j.cancel_reason is null
          and o.outcome in ('retried', 'snoozed', 'handed_back', 'parked', 'waiting', 'lost')
        order by j.id
        for no key update of j
    ), changed as (
        update headrace.job j
        set state = (case when h.outcome in ('parked', 'waiting') then 'blocked'
                          when h.outcome in ('handed_back', 'lost') or h.wait_s <= 0 then 'queued'
                          else 'scheduled' end)::headrace.job_state,
            position = case when h.outcome in ('handed_back', 'lost')
                            then case when j.position > 0 then j.position - 4611686018427387904 else j.position end
                            when h.outcome not in ('parked', 'waiting') and h.wait_s <= 0 then nextval('headrace.job_position') end,
            run_at = case when h.outcome in ('retried', 'snoozed', 'waiting') then now() + make_interval(secs => h.wait_s)
                          else j.run_at end,
            look_at = case when h.outcome = 'waiting' then now() end,
            attempts = j.attempts + (h.outcome = 'retried')::integer,
            suspicion = case h.outcome when 'lost' then j.suspicion + 1
                                       when 'handed_back' then j.suspicion else 0 end,
            blocked_by = case h.outcome when 'parked' then 'task'
                                        when 'waiting' then 'event:' || (h.error::jsonb ->> 'event') end,
            worker_id = 0
        from held h
        where j.id = h.id and j.id = any(ids)
        returning j.id, j.queue, j.state
    ), freed as (
        insert into headrace.flow_release (queues, lanes, outcomes, claimed_ats)
        select array_agg(distinct h.queue), array_agg(h.lane), array_agg(h.outcome), array_agg(h.claimed_at)
        from held h where h.lane is not null
        having count(*) > 0
    ), recorded as (
        insert into headrace.attempt (job_id, run, outcome, worker_id, started_at, finished_at, error)
        select h.id, h.run, h.outcome, h.worker_id, h.claimed_at, now(), h.error::jsonb from held h
    )
    select array_agg(c.id), array_agg(c.queue) filter (where c.state = 'queued') into released, woken from changed c;
    -- What the next attempt reports is its own; and one that reports nothing would leave this behind.
    delete from headrace.job_progress g where g.job_id = any(released);
    perform headrace.wake_queues(woken) where woken is not null;
    return query select unnest(released);
end
$$;
