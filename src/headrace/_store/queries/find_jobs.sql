-- Jobs by id, finished or not: what the view headrace.jobs shows of them, but large arguments are looked for once, not planned
-- for in each of its partitions.
select f.id::text, f.state::text, f.task, f.queue, f.priority, f.attempts, f.max_attempts, f.run,
       coalesce(f.args, (select p.args from headrace.payload p where p.job_id = f.id and p.created_at = f.created_at)) as args,
       f.result, f.error, f.created_at, f.run_at, f.expires_at, nullif(f.claimed_at, '-infinity') as claimed_at, f.finished_at,
       nullif(f.worker_id, 0) as worker_id, f.unique_key, f.blocked_by, f.cancel_reason, f.tenant, f.correlation_id, f.tags,
       f.metadata, f.progress, f.workflow_id
from (
    select j.id, j.state, j.task, j.queue, j.priority, j.attempts, j.max_attempts, j.run, j.args, null::jsonb as result,
           null::jsonb as error, j.created_at, j.run_at, j.expires_at, j.claimed_at, null::timestamptz as finished_at,
           j.worker_id, j.unique_key, j.blocked_by, j.cancel_reason, j.tenant, j.correlation_id, j.tags, j.metadata,
           (select jsonb_build_object('done', g.done, 'total', g.total, 'message', g.message)
            from headrace.job_progress g where g.job_id = j.id and g.run = j.run) as progress,
           j.workflow_id
    from headrace.job j
    where j.id = any(%(ids)s::uuid[])
    union all
    select h.id, h.state, h.task, h.queue, h.priority, h.attempts, h.max_attempts, h.run, h.args, h.result, h.error,
           h.created_at, coalesce(h.run_at, h.created_at), h.expires_at, h.claimed_at, h.finished_at, h.worker_id, h.unique_key,
           null, null, h.tenant, h.correlation_id, h.tags, h.metadata, h.progress, h.workflow_id
    from headrace.job_history h
    where h.id = any(%(ids)s::uuid[]) and h.finished_at >= headrace.uuid7_floor_of(%(ids)s::uuid[])) f
