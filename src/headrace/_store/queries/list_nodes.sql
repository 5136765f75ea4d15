-- The nodes of a workflow, in the order of their ids. Released ones are in the state of their job, which the workflow learns of
-- later.
select n.job_id::text, n.name, n.kind, coalesce(j.state, h.state, n.state, 'blocked')::text as state, coalesce(j.task, h.task) as task,
       n.parents::text[] as parents, h.error ->> 'message' as error
from headrace.workflow_node n
left join lateral (select j.state, j.task from headrace.job j where j.id = n.job_id limit 1) j on true
left join lateral (
    select h.state, h.task, h.error from headrace.job_history h
    where h.id = n.job_id and h.finished_at >= headrace.uuid7_floor(%(id)s::uuid) and j.state is null limit 1) h on true
where n.workflow_id = %(id)s::uuid and (%(after)s::uuid is null or n.job_id > %(after)s::uuid)
order by n.job_id
limit %(limit)s
