-- How these jobs stand: for the live stream, for those that somebody looks at.
select j.id::text, j.state::text, j.run, j.task, j.queue, j.tenant
from headrace.job j
where j.id = any(%(ids)s::uuid[])
union all
select h.id::text, h.state::text, h.run, h.task, h.queue, h.tenant
from headrace.job_history h
where h.id = any(%(ids)s::uuid[]) and h.finished_at >= headrace.uuid7_floor_of(%(ids)s::uuid[])
