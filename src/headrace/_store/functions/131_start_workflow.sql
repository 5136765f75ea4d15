-- Starts a workflow in the caller's transaction; one that was started already stays as it is. `callbacks` has the jobs that are
-- enqueued when it has finished: "on_success", "on_failure", "on_finished". For jobs and nodes see add_nodes.
create or replace function headrace.start_workflow(
    workflow uuid, name text, policy text, callbacks jsonb, jobs jsonb, nodes jsonb
) returns boolean
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    insert into headrace.workflow (id, name, policy, callbacks)
    values (workflow, name, policy, callbacks)
    on conflict (id) do nothing;
    if not found then
        return false;
    end if;
    -- A callback that cannot be enqueued is refused now, and not when everything else is done.
    perform headrace.read_requests(coalesce(jsonb_agg(c.value), '[]')) from jsonb_each(callbacks) c;
    perform headrace.add_nodes(workflow, jobs, nodes, true);
    update headrace.workflow w
    set blocked = c.blocked, queued = c.queued
    from (select count(*) filter (where n.state = 'blocked') as blocked, count(*) filter (where n.state = 'queued') as queued
          from headrace.workflow_node n where n.workflow_id = workflow and n.kind = 'job') c
    where w.id = workflow;
    return true;
end
$$;
