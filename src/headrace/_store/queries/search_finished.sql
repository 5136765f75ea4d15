-- Jobs that match and finished before a place in the history, newest first. The conditions are put in by searching.py.
select f.id::text, f.state::text, f.task, f.queue, f.priority, f.attempts, f.max_attempts, f.run,
       coalesce(f.args, headrace.find_args(f.id, f.created_at)) as args, f.result, f.error, f.created_at,
       coalesce(f.run_at, f.created_at) as run_at, f.expires_at, nullif(f.claimed_at, '-infinity') as claimed_at, f.finished_at,
       nullif(f.worker_id, 0) as worker_id, f.unique_key, null as blocked_by, null as cancel_reason, f.tenant, f.correlation_id,
       f.tags, f.metadata, f.progress, f.workflow_id
from (
    select j.id, j.state, j.task, j.queue, j.priority, j.attempts, j.max_attempts, j.run, j.args, j.result, j.error, j.created_at,
           j.run_at, j.expires_at, j.claimed_at, j.finished_at, j.worker_id, j.unique_key, j.tenant, j.correlation_id, j.tags,
           j.metadata, j.progress, j.workflow_id
    from headrace.job_history j
    where {finished} and j.finished_at <= %(before)s and j.finished_at >= %(down_to)s::timestamptz
      and (j.finished_at, j.id) < (%(before)s, %(before_id)s::uuid)
    order by j.finished_at desc, j.id desc
    limit %(limit)s) f
order by f.finished_at desc, f.id desc
