-- How many of the newest unfinished jobs match, and how many they are.
select count(*) filter (where {open}) as matching, count(*) as jobs
from (select j.id, j.state, j.task, j.queue, j.tags, j.tenant, j.correlation_id, j.unique_key, j.workflow_id, j.worker_id,
             j.attempts, j.priority, j.created_at, j.run_at, j.claimed_at, j.args, j.metadata
      from headrace.job j order by j.id desc limit %(window)s) j
