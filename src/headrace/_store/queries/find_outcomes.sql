-- State, result and error of those of these jobs that have finished: what `await job.result()` polls.
select h.id::text, h.state::text, h.result::text, h.error
from headrace.job_history h
where h.id = any(%(ids)s::uuid[]) and h.finished_at >= headrace.uuid7_floor(%(oldest)s)
