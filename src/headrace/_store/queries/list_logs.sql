select run, logged_at, level, message
from headrace.job_log
where job_id = %(id)s::uuid and logged_at >= headrace.uuid7_floor(%(id)s::uuid)
order by run, logged_at
limit %(limit)s
