-- Which of these jobs are there, finished or not: after an enqueue whose answer was lost.
select j.id from headrace.job j where j.id = any(%(ids)s::uuid[])
union all
select h.id from headrace.job_history h
where h.id = any(%(ids)s::uuid[])
  and h.finished_at >= headrace.uuid7_floor_of(%(ids)s::uuid[])
