-- Gives past moments of a schedule (and tenant) their jobs: all at once where jobs may overlap, else one after the other, as
-- release_waiting_ticks finds the one before finished. Moments that have a job, or wait for one, are left alone: asking twice
-- does no harm. Answers how many will run.
create or replace function headrace.backfill_schedule(schedule text, tenant text, moments jsonb) returns integer
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_custom_plan
as $$
declare
    s headrace.schedule;
    d headrace.schedule_due;
    t headrace.tick;
    jobs jsonb[] := '{}';
    filled integer := 0;
begin
    select * into d from headrace.schedule_due x
    where x.schedule = backfill_schedule.schedule and x.tenant = backfill_schedule.tenant for no key update;
    if not found then
        return null;
    end if;
    select * into s from headrace.schedule x where x.name = backfill_schedule.schedule;
    for t in
        insert into headrace.tick as k (schedule, tenant, nominal, fold, due_at, fired_at, cause, outcome, job_id)
        select s.name, d.tenant, m.nominal, m.fold, m.due_at, now(), 'backfill',
               case when s.overlap = 'allow' then 'enqueued' else 'waiting' end,
               case when s.overlap = 'allow' then headrace.uuid7() end
        from jsonb_to_recordset(moments) as m(nominal timestamp, fold smallint, due_at timestamptz)
        order by m.nominal, m.fold
        on conflict on constraint tick_pkey do update
        set cause = excluded.cause, outcome = excluded.outcome, job_id = excluded.job_id, fired_at = excluded.fired_at, detail = null
        where k.outcome not in ('enqueued', 'waiting')
        returning k.*
    loop
        filled := filled + 1;
        if t.job_id is not null then
            jobs := jobs || headrace.schedule_job(s, d, t.job_id, t.nominal, t.fold, t.due_at);
        end if;
    end loop;
    if filled > 0 and s.overlap <> 'allow' then
        update headrace.schedule_due x set has_waiting = true where x.schedule = d.schedule and x.tenant = d.tenant;
    end if;
    perform headrace.enqueue_ticks(jobs);
    return filled;
end
$$;
