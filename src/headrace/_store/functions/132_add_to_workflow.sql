-- Adds nodes to a workflow that runs, in the caller's transaction; see add_nodes. `after` names nodes that all of those wait for
-- which say so ("after_names").
--
-- The row lock keeps the workflow from finishing until the caller has committed, and nothing else: counters go on (an update of no
-- key does not conflict with it), and whoever would finish the workflow skips it meanwhile.
create or replace function headrace.add_to_workflow(workflow uuid, jobs jsonb, nodes jsonb) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    missing text;
begin
    perform from headrace.workflow w
    where w.id = workflow and w.state = 'running' and w.cancel_reason is null for key share;
    if not found then
        -- The same call again: what it added is there, whatever has become of the workflow.
        if exists (select from jsonb_array_elements(nodes) n join headrace.workflow_node f
                   on f.job_id = (n.value ->> 'id')::uuid and f.workflow_id = workflow) then
            return;
        end if;
        raise exception using
            errcode = 'HR004',
            message = coalesce(
                (select format('workflow %s is %s: nothing can be added to it', workflow,
                               case when w.cancel_reason is null then 'finished' else 'cancelled' end)
                 from headrace.workflow w where w.id = workflow),
                format('there is no workflow %s', workflow));
    end if;
    select a into missing
    from jsonb_array_elements(nodes) n
    cross join lateral jsonb_array_elements_text(n.value -> 'after_names') a
    where not exists (select from headrace.workflow_node f where f.workflow_id = workflow and f.name = a)
    limit 1;
    if missing is not null then
        raise exception using errcode = 'HR003', message = format('workflow %s has no node named "%s"', workflow, missing);
    end if;
    perform headrace.add_nodes(workflow, jobs, (
        select jsonb_agg(case when n.value ? 'after_names' then n.value || jsonb_build_object('after',
                   coalesce(n.value -> 'after', '[]') || (
                       select jsonb_agg(f.job_id)
                       from jsonb_array_elements_text(n.value -> 'after_names') a
                       join headrace.workflow_node f on f.workflow_id = workflow and f.name = a))
               else n.value end)
        from jsonb_array_elements(nodes) n), false);
end
$$;
