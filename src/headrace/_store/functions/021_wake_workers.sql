-- Runs at COMMIT for the first row of each enqueue call. NOTIFY takes a cluster-wide lock at commit, so of the callers
-- that commit at the same time only the one that gets the queue's lock notifies; what that misses, polling finds.
create or replace function headrace.wake_workers() returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    if pg_try_advisory_xact_lock(headrace.lock_key(), hashtext(new.queue)) then
        perform pg_notify('headrace_wake', new.queue);
    end if;
    return null;
end
$$;
drop trigger if exists job_wake on headrace.job;
create constraint trigger job_wake after insert on headrace.job
    deferrable initially deferred for each row when (new.wake)
    execute function headrace.wake_workers();
