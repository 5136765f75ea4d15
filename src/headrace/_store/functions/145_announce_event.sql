-- Runs at COMMIT of whoever emitted an event: tells a worker that jobs wait for it. Only where some do, and not while somebody else is
-- telling (see wake_workers); what that misses, release_waiting finds within a second.
create or replace function headrace.announce_event() returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    if exists (select from headrace.job j where j.blocked_by = 'event:' || new.name)
       and pg_try_advisory_xact_lock(headrace.lock_key(), 6) then
        perform pg_notify('headrace_event', '');
    end if;
    return null;
end
$$;
drop trigger if exists event_announced on headrace.event;
create constraint trigger event_announced after insert or update of emitted_at on headrace.event
    deferrable initially deferred for each row execute function headrace.announce_event();
