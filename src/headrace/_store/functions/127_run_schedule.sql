-- Enqueues a job of a schedule (and tenant) now, whatever is due, paused or unfinished. `nominal` is what the clocks of its zone
-- show. Answers the job's id; null if there is no such schedule or tenant.
create or replace function headrace.run_schedule(schedule text, tenant text, nominal timestamp) returns uuid
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    s headrace.schedule;
    d headrace.schedule_due;
    job uuid := headrace.uuid7();
begin
    select * into d from headrace.schedule_due x
    where x.schedule = run_schedule.schedule and x.tenant = run_schedule.tenant for no key update;
    if not found then
        return null;
    end if;
    select * into s from headrace.schedule x where x.name = run_schedule.schedule;
    insert into headrace.tick (schedule, tenant, nominal, fold, due_at, fired_at, cause, outcome, job_id)
    values (s.name, d.tenant, nominal, 0, now(), now(), 'run_now', 'enqueued', job);
    if s.overlap <> 'allow' then
        update headrace.schedule_due x set open_jobs = headrace.unfinished_jobs(x.open_jobs) || job
        where x.schedule = d.schedule and x.tenant = d.tenant;
    end if;
    perform headrace.enqueue_jobs(jsonb_build_array(headrace.schedule_job(s, d, job, nominal, 0::smallint, now())));
    return job;
end
$$;
