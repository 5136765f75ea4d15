-- Puts jobs that wait in the lanes of today's limits.
create or replace function headrace.change_lanes(ids uuid[]) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_custom_plan
as $$
begin
    with locked as (
        select j.id from headrace.job j
        where j.id = any(ids) and j.state = 'queued' order by j.id for no key update skip locked
    ), found as (
        select j.id, n.lane
        from headrace.job j
        cross join lateral headrace.lane_of(j.queue, j.task, j.tenant, j.args, j.id, j.created_at) n
        where j.id = any(array(select l.id from locked l)) and j.lane is distinct from n.lane
    )
    update headrace.job j set lane = f.lane from found f where j.id = f.id;
end
$$;
