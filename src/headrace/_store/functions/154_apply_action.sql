-- Does to these jobs what an operation does to each of its jobs. Answers the ids of those to which it was done.
create or replace function headrace.apply_action(action text, settings jsonb, ids uuid[]) returns setof uuid
language plpgsql
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_custom_plan
as $$
begin
    case action
    when 'retry' then -- finished ones; what waits for its next attempt is let run by run_now
        return query select headrace.retry_jobs(
            array(select h.id from headrace.job_history h
                  where h.id = any(apply_action.ids) and h.finished_at >= headrace.uuid7_floor_of(apply_action.ids)),
            null, coalesce((settings ->> 'from_start')::boolean, false));
    when 'run_now' then
        return query select headrace.retry_jobs(
            array(select j.id from headrace.job j
                  where j.id = any(apply_action.ids) and (j.state = 'scheduled' or j.look_at is not null)), null, false);
    when 'cancel' then
        return query select c.job_id from headrace.cancel_jobs(apply_action.ids, settings ->> 'reason') c
                     where c.outcome in ('cancelled', 'requested');
    when 'delete' then
        return query select headrace.delete_jobs(apply_action.ids);
    when 'set_priority' then
        return query select headrace.change_jobs(apply_action.ids, (settings ->> 'priority')::smallint, null);
    when 'move' then
        return query select headrace.change_jobs(apply_action.ids, null, settings ->> 'queue');
    end case;
end
$$;
