-- Cancels all jobs of a workflow that have not finished; running ones are asked to stop. What somebody adds to it meanwhile is
-- cancelled when it is reckoned. Answers cancelled, finished (already) or unknown.
create or replace function headrace.cancel_workflow(workflow uuid, reason text) returns text
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    update headrace.workflow w set cancel_reason = coalesce(reason, 'cancelled')
    where w.id = workflow and w.state = 'running';
    if not found then
        return case when exists (select from headrace.workflow w where w.id = workflow) then 'finished' else 'unknown' end;
    end if;
    update headrace.workflow_node n set move = 'cancel'
    where n.workflow_id = workflow and n.state in ('blocked', 'queued') and n.kind in ('job', 'barrier');
    perform headrace.advance_workflows(array[workflow]);
    return 'cancelled';
end
$$;
