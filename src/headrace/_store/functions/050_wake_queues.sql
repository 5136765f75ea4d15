-- Tells workers of these queues that jobs became claimable, for changes that are not enqueues.
create or replace function headrace.wake_queues(queues text[]) returns void
language sql
set search_path = pg_catalog, pg_temp
as $$
    select pg_notify('headrace_wake', q) from (select distinct q from unnest(queues) q) d
    where pg_try_advisory_xact_lock(headrace.lock_key(), hashtext(q))
$$;
