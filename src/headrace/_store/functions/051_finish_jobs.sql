-- Moves jobs to history: those whose outcome is final, and those that were to run again but are asked to cancel. With a
-- worker only what that worker holds under that run (the fence); without one the caller has locked the rows. Answers the
-- ids that moved. Of a workflow's jobs it leaves word, and no more: reckon_changes does the rest, without the settle; and of those
-- that webhooks are to tell of, if there are any webhooks.
--
-- Locks no row that another statement waits for while it holds some: everything else that touches many jobs skips locked
-- rows, and no two workers settle the same job.
--
-- One plan serves every call, and it must not depend on statistics. When they are from before the claim, no job runs, under no
-- worker, and a plan that trusts them reads the whole table and compares each row with each outcome (a second for 1,000
-- jobs). So the settings below leave the rows to be found by their ids, in the index, and the join to be hashed. They are written
-- in the order of their ids: the index on them then grows at its end, a third smaller, with a third of the log for its splits.
create or replace function headrace.finish_jobs(
    worker bigint, ids uuid[], runs integer[], outcomes text[], results text[], errors text[], progresses text[]
) returns setof uuid
language plpgsql
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_nestloop = off
set enable_mergejoin = off
set jit = off
as $$
begin
    if worker is null or exists (select from unnest(progresses) p where p is not null) then
        delete from headrace.job_progress g where g.job_id = any(ids);
    end if;
    return query
    with gone as (
        delete from headrace.job j
        using unnest(ids, runs, outcomes, results, errors, progresses) as o(id, run, outcome, result, error, progress)
        where j.id = any(ids) and j.id = o.id and j.run = o.run
          and (worker is null or (j.worker_id = worker and j.state = 'running'))
          and (j.cancel_reason is not null or o.outcome in ('succeeded', 'failed', 'cancelled'))
        returning j.*, o.result, case when o.outcome <> 'waiting' then o.error end as error, o.progress,
            (case when o.outcome = 'succeeded' or (o.outcome = 'failed' and j.cancel_reason is null)
                  then o.outcome else 'cancelled' end)::headrace.job_state as final
    ), told as (
        insert into headrace.workflow_change (workflow_id, job_id, state, result)
        select g.workflow_id, g.id, g.final, case when g.feeds and g.final = 'succeeded' then g.result::jsonb end
        from gone g where g.workflow_id is not null
    ), freed as (
        insert into headrace.flow_release (queues, lanes, outcomes, claimed_ats)
        select array_agg(distinct g.queue), array_agg(g.lane), array_agg(g.final::text), array_agg(g.claimed_at)
        from gone g where g.lane is not null and g.state = 'running'
        having count(*) > 0
    ), hooked as (
        insert into headrace.webhook_due (job)
        select jsonb_strip_nulls(jsonb_build_object(
            'id', g.id, 'run', g.run, 'task', g.task, 'queue', g.queue, 'state', g.final, 'tenant', g.tenant,
            'attempts', g.attempts + (g.state = 'running' and g.final <> 'cancelled')::integer, 'max_attempts', g.max_attempts,
            'created_at', g.created_at, 'finished_at', now(), 'correlation_id', g.correlation_id, 'tags', g.tags,
            'webhook', g.metadata ->> 'headrace.webhook'))
        from gone g
        where (select true from headrace.webhook limit 1) and g.task <> 'headrace.webhook'
          and (array[g.task, '*'] && array(select unnest(w.tasks) from headrace.webhook w)
               or g.metadata ->> 'headrace.webhook' is not null)
        order by g.id
    )
    insert into headrace.job_history (
        id, state, retention, bounded, finished_at, claimed_at, created_at, run_at, expires_at, worker_id, run, priority,
        attempts, max_attempts, queue, task, args, result, error, progress, unique_key, tenant, correlation_id, tags, metadata,
        workflow_id, feeds, inputs)
    select g.id, g.final, headrace.retention_class(k.age),
           k.count is not null or k.age < headrace.class_age(headrace.retention_class(k.age)),
           now(), g.claimed_at, g.created_at, nullif(g.run_at, g.created_at), g.expires_at, g.worker_id, g.run, g.priority,
           g.attempts + (g.state = 'running' and g.final <> 'cancelled')::integer, g.max_attempts, g.queue, g.task, g.args,
           g.result::jsonb,
           coalesce(g.error::jsonb, case when g.cancel_reason is not null and g.final = 'cancelled'
               then jsonb_build_object('kind', 'cancelled', 'message', g.cancel_reason) end),
           g.progress::jsonb, g.unique_key, g.tenant, g.correlation_id, g.tags, g.metadata, g.workflow_id, g.feeds, g.inputs
    from gone g
    left join headrace.task t on t.name = g.task
    cross join lateral (
        select case g.final when 'succeeded' then coalesce(t.succeeded_age, interval '7 days')
                            when 'failed' then coalesce(t.failed_age, interval '90 days')
                            else coalesce(t.cancelled_age, interval '7 days') end as age,
               case g.final when 'succeeded' then t.succeeded_count
                            when 'failed' then t.failed_count
                            else t.cancelled_count end as count) k
    order by g.id
    returning id;
end
$$;
