-- Where no limit can apply to any job of a queue any more, its jobs leave their lanes, a chunk at a time, and it is like any other
-- queue again when none is left. They return to the head of the line, in their order: scans of it may start behind their places.
create or replace function headrace.leave_lanes(line text, chunk integer) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_custom_plan
as $$
declare
    moved integer;
begin
    update headrace.job j
    set lane = null,
        position = case when j.position > 0 then j.position - 4611686018427387904 else j.position end
    where j.id = any(array(
        select w.id from headrace.job w
        where w.queue = line and w.lane is not null and w.position is not null and w.suspicion = 0 and w.state = 'queued'
        limit chunk
        for no key update skip locked));
    get diagnostics moved = row_count;
    if moved < chunk then
        delete from headrace.flow_queue f where f.queue = line;
    end if;
    perform headrace.wake_queues(array[line]);
end
$$;
