-- The value of an argument that comes from other nodes of the workflow: {"node": id}: the result of one; {"each": id}: an array of the results of its
-- parents, in order; {"list": [...]}: an array of such values. The result of a node that did not succeed is null.
create or replace function headrace.read_input(workflow uuid, source jsonb) returns jsonb
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    return coalesce(case
        when source ? 'node' then (select n.result from headrace.workflow_node n where n.job_id = (source ->> 'node')::uuid and n.workflow_id = workflow)
        when source ? 'each' then (
            select jsonb_agg(p.result order by o.ordinality)
            from headrace.workflow_node n cross join lateral unnest(n.parents) with ordinality as o(id)
            left join headrace.workflow_node p on p.job_id = o.id and p.workflow_id = workflow
            where n.job_id = (source ->> 'each')::uuid and n.workflow_id = workflow)
        when source ? 'list' then (
            select jsonb_agg(headrace.read_input(workflow, l.value) order by l.ordinality)
            from jsonb_array_elements(source -> 'list') with ordinality l)
        end, 'null');
end
$$;
