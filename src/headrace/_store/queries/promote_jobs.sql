-- Scheduled jobs that are due join the line behind those that wait, in the order of their times. One worker at a time does it
-- (the lock is the transaction's). Answers how many it moved, null where another worker does it; and up to where it has looked:
-- behind the last that it moved, or, if there were no more, behind everything that was due.
with turn as (
    select pg_try_advisory_xact_lock(headrace.lock_key(), 1) as mine
), due as (
    select j.id, j.run_at from headrace.job j
    where j.position is null and j.blocked_by is null and j.run_at <= coalesce(%(now)s::timestamptz, now())
      and (j.run_at, j.id) > (%(after)s::timestamptz, %(after_id)s::uuid)
      and (select mine from turn)
    order by j.run_at, j.id
    limit %(chunk)s
    for no key update skip locked
), numbered as materialized (
    select d.id, nextval('headrace.job_position') as position from due d
), promoted as (
    update headrace.job j
    set state = 'queued', position = n.position
    from numbered n
    where j.id = any(array(select m.id from numbered m)) and j.id = n.id -- by the index, whatever statistics say of the join
    returning j.queue
), woken as (
    select headrace.wake_queues(array_agg(distinct p.queue)) from promoted p having count(*) > 0
), moved as (
    select count(*) as jobs from promoted
)
select case when (select mine from turn) then m.jobs end,
       case when m.jobs = %(chunk)s then (select max(d.run_at) from due d) else coalesce(%(now)s::timestamptz, now()) end::text,
       case when m.jobs = %(chunk)s then (select d.id from due d order by d.run_at desc, d.id desc limit 1)
            else 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid end::text,
       (select count(*) from woken)
from moved m
