-- How many of those that finished last match, and how many they are.
select count(*) filter (where {finished}) as matching, count(*) as jobs
from (select j.id, j.state, j.task, j.queue, j.tags, j.tenant, j.correlation_id, j.unique_key, j.workflow_id, j.worker_id,
             j.attempts, j.priority, j.created_at, j.run_at, j.claimed_at, j.finished_at, j.args, j.metadata, j.result, j.error
      from headrace.job_history j order by j.finished_at desc limit %(window)s) j
