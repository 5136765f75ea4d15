-- Deletes jobs that do not run, finished or not, with their attempts, steps and logs. Answers the ids that are gone.
-- For its workflow, a job that is deleted before it has finished was cancelled.
create or replace function headrace.delete_jobs(ids uuid[]) returns setof uuid
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_custom_plan
as $$
declare
    gone uuid[];
    since timestamptz := headrace.uuid7_floor_of(delete_jobs.ids);
begin
    with locked as (
        select j.id from headrace.job j
        where j.id = any(delete_jobs.ids) and j.state <> 'running' order by j.id for update skip locked
    ), unfinished as (
        delete from headrace.job j using locked l where j.id = l.id returning j.id, j.workflow_id
    ), told as (
        insert into headrace.workflow_change (workflow_id, job_id, state)
        select u.workflow_id, u.id, 'cancelled' from unfinished u where u.workflow_id is not null
    ), finished as (
        delete from headrace.job_history h where h.id = any(delete_jobs.ids) and h.finished_at >= since returning h.id
    )
    select array_agg(d.id) into gone from (select u.id from unfinished u union all select f.id from finished f) d;
    delete from headrace.attempt a where a.job_id = any(gone) and a.finished_at >= since;
    delete from headrace.step s where s.job_id = any(gone) and s.recorded_at >= since;
    delete from headrace.job_log l where l.job_id = any(gone) and l.logged_at >= since;
    delete from headrace.payload p where p.job_id = any(gone) and p.created_at >= since;
    delete from headrace.job_progress g where g.job_id = any(gone);
    return query select unnest(gone);
end
$$;
