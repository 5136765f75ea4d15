-- Jobs that match and were unfinished at a moment, by id, newest first: those that are, and those that have finished since. The
-- conditions are put in by searching.py.
select f.id::text, f.state::text, f.task, f.queue, f.priority, f.attempts, f.max_attempts, f.run,
       coalesce(f.args, headrace.find_args(f.id, f.created_at)) as args, f.result, f.error, f.created_at, f.run_at, f.expires_at,
       nullif(f.claimed_at, '-infinity') as claimed_at, f.finished_at, nullif(f.worker_id, 0) as worker_id, f.unique_key,
       f.blocked_by, f.cancel_reason, f.tenant, f.correlation_id, f.tags, f.metadata,
       case when f.finished_at is not null then f.progress else (
           select jsonb_build_object('done', g.done, 'total', g.total, 'message', g.message)
           from headrace.job_progress g where g.job_id = f.id and g.run = f.run) end as progress,
       f.workflow_id
from (
    (select j.id, j.state, j.task, j.queue, j.priority, j.attempts, j.max_attempts, j.run, j.args, null::jsonb as result,
            null::jsonb as error, j.created_at, j.run_at, j.expires_at, j.claimed_at, null::timestamptz as finished_at, j.worker_id,
            j.unique_key, j.blocked_by, j.cancel_reason, j.tenant, j.correlation_id, j.tags, j.metadata, null::jsonb as progress,
            j.workflow_id
     from headrace.job j
     where {open} and j.id < %(before_id)s::uuid and j.id >= %(down_to_id)s::uuid
     order by j.id desc
     limit %(limit)s)
    union all
    (select j.id, j.state, j.task, j.queue, j.priority, j.attempts, j.max_attempts, j.run, j.args, j.result, j.error, j.created_at,
            coalesce(j.run_at, j.created_at), j.expires_at, j.claimed_at, j.finished_at, j.worker_id, j.unique_key, null, null,
            j.tenant, j.correlation_id, j.tags, j.metadata, j.progress, j.workflow_id
     from headrace.job_history j
     where {finished} and j.finished_at > %(as_of)s and j.finished_at < %(until)s
       and j.id < %(before_id)s::uuid and j.id >= %(down_to_id)s::uuid
     order by j.id desc
     limit %(limit)s)) f
order by f.id desc
limit %(limit)s
