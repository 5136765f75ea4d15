-- What jobs are like before somebody acts on them, and what their tasks keep secret; known: whether a worker has registered the task.
select f.id::text, f.state::text, f.task, t.name is not null as known, t.secrets
from (
    select j.id, j.state, j.task from headrace.job j where j.id = any(%(ids)s::uuid[])
    union all
    select h.id, h.state, h.task from headrace.job_history h
    where h.id = any(%(ids)s::uuid[]) and h.finished_at >= headrace.uuid7_floor_of(%(ids)s::uuid[])) f
left join headrace.task t on t.name = f.task or f.task = any(t.aliases)
