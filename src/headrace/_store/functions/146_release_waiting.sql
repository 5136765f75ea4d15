-- Lets jobs run that wait for an event: it has been emitted, or their time is over. One worker at a time does it (the lock is the
-- transaction's). Answers how many it let run, null where another worker does it; whether there is more to do; and up to where it has
-- looked, where the next look may start.
--
-- An emit and a wait may miss each other: each looks for the other while that one is uncommitted. So each is looked at again once it
-- is committed. An event is undelivered until no job that waits for it is to be seen; a job that began to wait is looked at once. Of
-- any two, whichever is looked at last sees the other, which was committed before. Rows that somebody holds are left for the
-- next time, and so is the event that they wait for.
create or replace function headrace.release_waiting(
    events_after timestamptz, looks_after timestamptz, looks_after_id uuid, chunk integer, as_of timestamptz default now()
) returns table (released integer, more boolean, events_seen text, looks_seen text, looks_seen_id text)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_custom_plan
set enable_seqscan = off
set jit = off
as $$
declare
    events text[];
    newest timestamptz;
    delivered integer;
    looked uuid[];
    last record;
    woken text[];
    ready text[];
begin
    if not pg_try_advisory_xact_lock(headrace.lock_key(), 7) then
        return;
    end if;
    select array_agg(e.name), max(e.emitted_at) into events, newest
    from (select e.name, e.emitted_at from headrace.event e
          where not e.delivered and e.emitted_at >= events_after
          order by e.emitted_at, e.name
          limit chunk
          for no key update skip locked) e;
    with waiting as (
        select j.id from headrace.job j
        where j.blocked_by = any(array(select 'event:' || e from unnest(events) e))
        limit chunk
        for no key update skip locked
    ), changed as (
        update headrace.job j
        set state = 'queued', position = nextval('headrace.job_position'), blocked_by = null, look_at = null, run_at = now()
        where j.id = any(array(select w.id from waiting w))
        returning j.queue
    )
    select count(*), array_agg(c.queue) into released, woken from changed c;
    update headrace.event e set delivered = true
    where e.name = any(events) and not exists (select from headrace.job j where j.blocked_by = 'event:' || e.name);
    get diagnostics delivered = row_count;

    looked := array(
        select j.id from headrace.job j
        where j.look_at is not null and j.look_at <= as_of and (j.look_at, j.id) > (looks_after, looks_after_id)
        order by j.look_at, j.id
        limit chunk
        for no key update skip locked);
    select j.look_at, j.id into last from headrace.job j where j.id = any(looked) order by j.look_at desc, j.id desc limit 1;
    with changed as (
        update headrace.job j
        set state = (case when o.over then 'queued' else 'blocked' end)::headrace.job_state,
            position = case when o.over then nextval('headrace.job_position') end,
            blocked_by = case when not o.over then j.blocked_by end,
            look_at = case when not o.over then j.run_at end,
            run_at = case when o.over then now() else j.run_at end
        from (select w.id, w.run_at <= as_of
                     or exists (select from headrace.event e where e.name = substr(w.blocked_by, 7)) as over
              from headrace.job w where w.id = any(looked)) o
        where j.id = o.id and j.id = any(looked)
        returning j.queue, o.over
    )
    select array_agg(c.queue), count(*) + released into ready, released from changed c where c.over;
    perform headrace.wake_queues(woken || ready) where woken is not null or ready is not null;

    -- Not because of events that are held: that would go round and round until they are free.
    more := (cardinality(events) = chunk and delivered > 0) or released >= chunk or cardinality(looked) = chunk;
    -- Those who emit at the same time commit one after the other: a look begins some seconds before the last one.
    events_seen := case when released >= chunk then events_after when cardinality(events) = chunk then newest
                        else greatest(events_after, now() - interval '5 seconds') end::text;
    looks_seen := case when cardinality(looked) = chunk then last.look_at else as_of end::text;
    looks_seen_id := case when cardinality(looked) = chunk then last.id else 'ffffffff-ffff-ffff-ffff-ffffffffffff' end::text;
    return next;
end
$$;
