-- The attempts of a job before its last, oldest first.
select run, outcome, worker_id, nullif(started_at, '-infinity') as started_at, finished_at, error
from headrace.attempt
where job_id = %(id)s::uuid and finished_at >= headrace.uuid7_floor(%(id)s::uuid)
order by run
