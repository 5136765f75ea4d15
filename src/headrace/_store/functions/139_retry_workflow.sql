-- Runs again what did not succeed: each job once its parents have. What is out of retention, or was deleted, is not there to run
-- again, and what depends on it is cancelled again. Answers the ids of the jobs.
create or replace function headrace.retry_workflow(workflow uuid) returns setof uuid
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    revived uuid[];
begin
    perform from headrace.workflow w where w.id = workflow for no key update;
    while headrace.reckon_changes(array[workflow], '-infinity') loop
    end loop;
    update headrace.workflow w set cancel_reason = null where w.id = workflow and w.cancel_reason is not null;
    revived := array(select headrace.retry_jobs(array(
        select n.job_id from headrace.workflow_node n
        where n.workflow_id = workflow and n.kind = 'job' and n.state in ('failed', 'cancelled') order by n.job_id)));
    insert into headrace.workflow_change (workflow_id, job_id, state)
    select workflow, n.job_id, 'blocked' from headrace.workflow_node n
    where n.workflow_id = workflow and n.kind = 'barrier' and n.state = 'cancelled' and cardinality(revived) > 0;
    perform headrace.advance_workflows(array[workflow]);
    return query select unnest(revived);
end
$$;
