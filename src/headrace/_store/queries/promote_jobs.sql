-- Scheduled jobs that are due join the line behind those that wait, in the order of their times. One worker at a time does it
-- (the lock is the transaction's); answers null where another does, else how many it moved.
with turn as (
    select pg_try_advisory_xact_lock(headrace.lock_key(), 1) as mine
), due as (
    select j.id from headrace.job j
    where j.position is null and j.blocked_by is null and j.run_at <= coalesce(%(now)s::timestamptz, now())
      and (select mine from turn)
    order by j.run_at
    limit %(chunk)s
    for no key update skip locked
), numbered as materialized (
    select d.id, nextval('headrace.job_position') as position from due d
), promoted as (
    update headrace.job j
    set state = 'queued', position = n.position
    from numbered n
    where j.id = n.id
    returning j.queue
), woken as (
    select headrace.wake_queues(array_agg(distinct p.queue)) from promoted p having count(*) > 0
)
select case when (select mine from turn) then (select count(*) from promoted) end, (select count(*) from woken)
