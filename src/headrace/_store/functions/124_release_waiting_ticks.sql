-- Enqueues the oldest waiting tick of each schedule (and tenant) whose earlier jobs have finished: the sweep for overlap
-- 'queue' and 'cancel', and for backfills. Looks at a chunk of those behind the given one, and answers at which.
create or replace function headrace.release_waiting_ticks(
    after_schedule text, after_tenant text, chunk integer, as_of timestamptz
) returns table (schedule text, tenant text)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_custom_plan
as $$
#variable_conflict use_column
declare
    d headrace.schedule_due;
    s headrace.schedule;
    t headrace.tick;
    job uuid;
    jobs jsonb[] := '{}';
begin
    for d in
        select * from headrace.schedule_due x
        where x.has_waiting and (x.schedule, x.tenant) > (after_schedule, after_tenant)
        order by x.schedule, x.tenant
        limit chunk
        for no key update skip locked
    loop
        schedule := d.schedule;
        tenant := d.tenant;
        return next;
        continue when headrace.unfinished_jobs(d.open_jobs) <> '{}';
        select * into s from headrace.schedule x where x.name = d.schedule;
        continue when s.paused_at is not null or d.paused_at is not null;
        select * into t from headrace.tick x
        where x.outcome = 'waiting' and x.schedule = d.schedule and x.tenant = d.tenant
        order by x.due_at limit 1;
        if not found then
            update headrace.schedule_due x set has_waiting = false where x.schedule = d.schedule and x.tenant = d.tenant;
            continue;
        end if;
        job := headrace.uuid7();
        update headrace.tick x set outcome = 'enqueued', job_id = job, fired_at = coalesce(as_of, now())
        where x.schedule = t.schedule and x.tenant = t.tenant and x.nominal = t.nominal and x.fold = t.fold;
        update headrace.schedule_due x set open_jobs = array[job] where x.schedule = d.schedule and x.tenant = d.tenant;
        jobs := jobs || headrace.schedule_job(s, d, job, t.nominal, t.fold, t.due_at);
    end loop;
    perform headrace.enqueue_ticks(jobs);
end
$$;
