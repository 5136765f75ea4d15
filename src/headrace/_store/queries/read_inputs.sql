-- The arguments of a job that are results of other nodes of its workflow, by parameter.
select i.key, headrace.read_input(j.workflow_id, i.value)::text
from headrace.job j cross join lateral jsonb_each(j.inputs) i
where j.id = %(id)s::uuid
