-- Writes all fields of a schedule. If when it is due has changed, what is next is planned anew, from now on. Answers false, and
-- writes nothing, if it is to be new and is not.
create or replace function headrace.write_schedule(
    fields jsonb, digest text, editor text, only_new boolean, as_of timestamptz
) returns boolean
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    clock timestamptz := coalesce(as_of, now());
    was headrace.schedule;
    w headrace.schedule := jsonb_populate_record(null::headrace.schedule, fields);
begin
    select * into was from headrace.schedule s where s.name = w.name for no key update;
    insert into headrace.schedule as s (
        name, task, args, queue, priority, tenant, tags, cron, every, at, timezone, start_at, end_at, jitter, catch_up,
        catch_up_limit, overlap, per_tenant, declared)
    values (w.name, w.task, w.args, w.queue, w.priority, w.tenant, w.tags, w.cron, w.every, w.at, w.timezone, w.start_at, w.end_at,
            w.jitter, w.catch_up, w.catch_up_limit, w.overlap, w.per_tenant, digest)
    on conflict (name) do update
    set task = w.task, args = w.args, queue = w.queue, priority = w.priority, tenant = w.tenant, tags = w.tags, cron = w.cron,
        every = w.every, at = w.at, timezone = w.timezone, start_at = w.start_at, end_at = w.end_at, jitter = w.jitter,
        catch_up = w.catch_up, catch_up_limit = w.catch_up_limit, overlap = w.overlap, per_tenant = w.per_tenant,
        declared = digest, enabled = s.enabled or editor is null, edited_at = case when editor is not null then clock end, edited_by = editor
    where not only_new;
    if not found then
        return false;
    end if;
    if not was.enabled and editor is not null then
        return true; -- planned when code declares it again
    end if;
    with gone as (
        delete from headrace.schedule_due d where d.schedule = w.name and (d.tenant = '') = w.per_tenant returning d.tenant
    )
    update headrace.tick t set outcome = 'skipped', detail = 'the schedule was changed'
    from gone g
    where t.outcome = 'waiting' and t.schedule = w.name and t.tenant = g.tenant;
    if not w.per_tenant then
        insert into headrace.schedule_due (schedule, next_due, next_at) values (w.name, clock, clock) on conflict do nothing;
    end if;
    if was.name is null
       or not was.enabled
       or row(was.cron, was.every, was.at, was.timezone, was.start_at, was.end_at, was.jitter)
          is distinct from row(w.cron, w.every, w.at, w.timezone, w.start_at, w.end_at, w.jitter)
    then
        update headrace.schedule_due d
        set revision = d.revision + 1, next_due = clock, next_at = clock, next_nominal = null, next_fold = null, problem = null
        where d.schedule = w.name;
    else
        -- What a tick was planned with (how it catches up) may have changed.
        update headrace.schedule_due d set revision = d.revision + 1 where d.schedule = w.name;
    end if;
    return true;
end
$$;
