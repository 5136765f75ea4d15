-- Makes the schedules that code declares what the newest running code says; every worker calls it when it starts, and now and
-- then. Answers what it changed.
--
-- Which code is newer? A declaration that no live worker had gets the next generation; one that some live worker has keeps its
-- own, so that a worker of the old code that restarts during a rolling deploy, beside others of its kind, stays old. Of the
-- declarations that live workers have, the one with the largest generation counts. So what counts follows from who lives: an
-- aborted deploy heals when its last worker is gone, and two codes never write in turn.
--
-- A declaration that counts is written once. What an operator changes afterwards stays until code says something new; pauses
-- are not code's to lift. A schedule that no live worker declares is disabled by whoever knows its task: a program that shares
-- the database, but not the task, says nothing about it.
create or replace function headrace.declare_schedules(worker bigint, declarations jsonb, tasks text[])
    returns table (schedule text, change text)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_custom_plan
set lock_timeout = '1s'
as $$
#variable_conflict use_column
declare
    c record;
    known record;
begin
    if not pg_try_advisory_xact_lock(headrace.lock_key(), 4) then
        return query select null::text, 'busy'::text;
        return;
    end if;
    if not exists (select from headrace.worker w where w.id = worker) then
        return;
    end if;
    delete from headrace.schedule_code k
    where not exists (select from headrace.worker w where w.id = k.worker_id);
    insert into headrace.schedule_code (schedule, worker_id, digest, generation)
    select r.name, worker, r.digest, coalesce(
        (select max(k.generation) from headrace.schedule_code k where k.schedule = r.name and k.digest = r.digest),
        (select max(k.generation) + 1 from headrace.schedule_code k where k.schedule = r.name), 1)
    from jsonb_to_recordset(declarations) as r(name text, digest text)
    on conflict do nothing;
    for c in
        select r.name, r.digest, r.fields
        from jsonb_to_recordset(declarations) as r(name text, digest text, fields jsonb)
        where r.digest = (select k.digest from headrace.schedule_code k where k.schedule = r.name
                          order by k.generation desc limit 1)
        order by r.name
    loop
        select s.declared, s.enabled, s.edited_at into known from headrace.schedule s where s.name = c.name;
        if not found then
            change := 'created';
        elsif known.declared is null then
            change := 'taken over from one that was made at run time';
        elsif known.declared <> c.digest then
            change := case when known.edited_at is null then 'changed' else 'changed, and an operator''s edit undone' end;
        elsif not known.enabled then
            change := 'enabled: code declares it again';
        else
            continue;
        end if;
        perform headrace.write_schedule(c.fields, c.digest, null, false, null);
        schedule := c.name;
        return next;
    end loop;
    for c in
        update headrace.schedule s
        set enabled = false
        where s.declared is not null and s.enabled and s.task = any(tasks)
          and not exists (select from headrace.schedule_code k where k.schedule = s.name)
        returning s.name
    loop
        update headrace.schedule_due d set revision = d.revision + 1, next_due = null where d.schedule = c.name;
        schedule := c.name;
        change := 'disabled: no code that runs declares it';
        return next;
    end loop;
end
$$;
