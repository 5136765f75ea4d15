-- Records a step that is done, or a sleep that begins, for the holder of the attempt; answers whether it is that. `again` says that an
-- earlier call's answer was lost: what that call recorded stays. In a handler's transaction it is the last statement before COMMIT.
create or replace function headrace.record_step(
    worker bigint, job_id uuid, run integer, ordinal integer, kind text, name text, result text,
    took_s double precision, wait_s double precision, patient boolean, again boolean, as_of timestamptz default now()
) returns boolean
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_custom_plan
as $$
begin
    if not headrace.hold_attempt(worker, job_id, run, patient) then
        return false;
    end if;
    -- A statement of its own: it sees what was committed while the one above waited.
    if again and exists (select from headrace.load_steps(job_id) s where s.ordinal = record_step.ordinal) then
        return true;
    end if;
    insert into headrace.step (job_id, ordinal, run, kind, name, outcome, recorded_at, finished_at, wakes_at, took_s, result)
    values (job_id, ordinal, run, kind, name, case when wait_s is null then 'done' else 'waiting' end, now(),
            case when wait_s is null then now() end, as_of + make_interval(secs => wait_s), took_s, result::jsonb);
    return true;
end
$$;
