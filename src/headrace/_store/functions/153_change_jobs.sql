-- Gives waiting jobs another priority or queue; null leaves what is. They join the end of their new line, in their old order: scans of
-- it may start behind their old places. Jobs that are running, or held by somebody, stay as they are. Answers the ids that changed.
create or replace function headrace.change_jobs(ids uuid[], new_priority smallint, new_queue text) returns setof uuid
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_custom_plan
as $$
declare
    changed uuid[];
    woken text[];
begin
    with locked as materialized (
        select j.id, j.position from headrace.job j
        where j.id = any(change_jobs.ids) and j.state <> 'running' order by j.id for no key update skip locked
    ), placed as materialized (
        select l.id, case when l.position is not null then nextval('headrace.job_position') end as position
        from (select x.id, x.position from locked x order by x.position) l
    ), done as (
        update headrace.job j
        set priority = coalesce(new_priority, j.priority), queue = coalesce(new_queue, j.queue), position = p.position, lane = null
        from placed p where j.id = p.id and j.id = any(change_jobs.ids)
        returning j.id, j.queue, j.state
    )
    select array_agg(d.id), array_agg(d.queue) filter (where d.state = 'queued') into changed, woken from done d;
    perform headrace.wake_queues(woken) where woken is not null;
    return query select unnest(changed);
end
$$;
