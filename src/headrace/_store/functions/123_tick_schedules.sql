-- Ticks: records the moments that have come, enqueues their jobs, and stores what is next, in one transaction. `plans` says for
-- each schedule (and tenant) with what revision it was planned, its due moments, oldest first, and the next one; see
-- src/headrace/_worker/ticker.py. Answers which plans counted.
--
-- A plan counts if the row still has its revision and is due by this database's clock: of any number of workers with the same
-- plan one wins, and the others, who do not wait for it, find another revision. A moment counts if no tick has its local time
-- yet: workers whose tzdata differ may disagree about when it is, but not tick it twice (ENGINE 32).
--
-- It waits for nobody: a schedule whose earlier job is to be cancelled, and held by somebody's open transaction, is put off for a
-- second. While it waited, the jobs that it has cancelled already would hold up the settles of their workers.
create or replace function headrace.tick_schedules(plans jsonb, as_of timestamptz)
    returns table (schedule text, tenant text)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_custom_plan
set lock_timeout = '1s'
as $$
#variable_conflict use_column
declare
    most_waiting constant integer := 1000;
    clock timestamptz := coalesce(as_of, now());
    p record;
    m record;
    s headrace.schedule;
    d headrace.schedule_due;
    open uuid[];
    job uuid;
    verdict text;
    said text;
    waiting integer;
    superseded integer;
    jobs jsonb[] := '{}';
begin
    for p in
        select * from jsonb_to_recordset(plans) as r(
            schedule text, tenant text, revision bigint, moments jsonb, next_due timestamptz, next_at timestamptz,
            next_nominal timestamp, next_fold smallint)
        order by r.schedule, r.tenant
    loop
        select * into d from headrace.schedule_due x
        where x.schedule = p.schedule and x.tenant = p.tenant and x.revision = p.revision and x.next_due <= clock
        for no key update skip locked;
        continue when not found;
        select * into s from headrace.schedule x where x.name = p.schedule;
        if not found or not s.enabled then
            update headrace.schedule_due x set revision = x.revision + 1, next_due = null
            where x.schedule = d.schedule and x.tenant = d.tenant;
            continue;
        end if;
        open := case when s.overlap = 'allow' or d.open_jobs = '{}' then '{}' else headrace.unfinished_jobs(d.open_jobs) end;
        if s.overlap = 'cancel' and open <> '{}' and cardinality(open) > (
            select count(*) from (select from headrace.job j where j.id = any(open) order by j.id for update skip locked) l)
        then
            update headrace.schedule_due x
            set revision = x.revision + 1, next_due = clock + interval '1 second',
                problem = format('job %s is to be cancelled, and held by an open transaction', array_to_string(open, ' or '))
            where x.schedule = d.schedule and x.tenant = d.tenant;
            continue;
        end if;
        waiting := case when d.has_waiting then (
            select count(*) from headrace.tick t
            where t.outcome = 'waiting' and t.schedule = d.schedule and t.tenant = d.tenant) else 0 end;
        for m in
            select * from jsonb_to_recordset(p.moments) as r(
                nominal timestamp, fold smallint, due_at timestamptz, runs boolean, through timestamptz)
            order by r.due_at, r.nominal, r.fold
        loop
            job := null;
            said := null;
            verdict := case when not m.runs then 'missed'
                            when d.skip_next then 'skipped'
                            when s.paused_at is not null or d.paused_at is not null then 'paused'
                            when s.overlap = 'allow' or (open = '{}' and waiting = 0) then 'enqueued'
                            when s.overlap = 'skip' then 'overlapped'
                            when s.overlap = 'queue' then case when waiting < most_waiting then 'waiting' else 'overlapped' end
                            else 'cancels' end;
            if verdict = 'overlapped' then
                said := case when s.overlap = 'queue' then format('%s moments wait already', waiting)
                             when open = '{}' then 'an earlier moment still waits'
                             else format('job %s had not finished', open[1]) end;
            elsif verdict = 'paused' then
                said := case when s.paused_at is null then d.paused_reason else s.paused_reason end;
            elsif verdict = 'cancels' then
                perform headrace.cancel_jobs(open, format('schedule "%s" is due again', s.name));
                said := case when open <> '{}' then 'cancelled job ' || array_to_string(open, ', ') end;
                update headrace.tick t set outcome = 'overlapped', detail = 'the next moment came first'
                where waiting > 0 and t.outcome = 'waiting' and t.schedule = d.schedule and t.tenant = d.tenant and t.cause = 'due';
                get diagnostics superseded = row_count;
                waiting := waiting - superseded;
                open := headrace.unfinished_jobs(open);
                verdict := case when open = '{}' then 'enqueued' else 'waiting' end;
            end if;
            if verdict = 'enqueued' then
                job := headrace.uuid7();
            end if;
            insert into headrace.tick (schedule, tenant, nominal, fold, due_at, fired_at, outcome, job_id, through, detail)
            values (d.schedule, d.tenant, m.nominal, m.fold, m.due_at, clock, verdict, job, m.through, said)
            on conflict do nothing;
            continue when not found; -- by another worker's tzdata its time has come before
            if verdict = 'enqueued' then
                jobs := jobs || headrace.schedule_job(s, d, job, m.nominal, m.fold, m.due_at);
                open := case when s.overlap = 'allow' then '{}' else open || job end;
            elsif verdict = 'skipped' then
                d.skip_next := false;
            elsif verdict = 'waiting' then
                waiting := waiting + 1;
            end if;
        end loop;
        update headrace.schedule_due x
        set revision = x.revision + 1, next_due = p.next_due, next_at = coalesce(p.next_at, x.next_at),
            next_nominal = p.next_nominal, next_fold = p.next_fold, skip_next = d.skip_next, open_jobs = open,
            has_waiting = waiting > 0, problem = null
        where x.schedule = d.schedule and x.tenant = d.tenant;
        schedule := d.schedule;
        tenant := d.tenant;
        return next;
    end loop;
    perform headrace.enqueue_ticks(jobs);
end
$$;
