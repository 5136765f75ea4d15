-- The queues: their unfinished jobs by state, since when the oldest queued one could run, who serves them, and their settings. Of
-- each index at most `bound` jobs are looked at (of the claim's, for each queue), from where it begins, so that it takes no longer with
-- ten million. `complete` says whether these are all; otherwise the numbers are those of the last sample, which a worker takes once a
-- minute, if there is one and it is larger.
with recursive lined as (
    (select j.queue from headrace.job j
     where j.position is not null and j.suspicion = 0 and j.lane is null
     order by j.queue limit 1)
    union all
    select n.queue from lined l cross join lateral (
        select j.queue from headrace.job j
        where j.position is not null and j.suspicion = 0 and j.lane is null and j.queue > l.queue
        order by j.queue limit 1) n
), named as (
    select name from headrace.queue union select queue from headrace.task union select queue from lined
), due as (
    select d.queue, count(*) as jobs from (
        select j.queue from headrace.job j where j.position is null and j.blocked_by is null
        order by j.run_at limit %(bound)s::integer) d
    group by d.queue
), blocked as (
    select b.queue, count(*) as jobs from (
        select j.queue from headrace.job j where j.blocked_by is not null order by j.blocked_by limit %(bound)s::integer) b
    group by b.queue
), whole as (
    select coalesce((select sum(d.jobs) from due d), 0) < %(bound)s::integer
       and coalesce((select sum(b.jobs) from blocked b), 0) < %(bound)s::integer as all_told
)
select n.name,
       case when f.seen < %(bound)s::integer then f.queued else greatest(f.queued, l.queued) end as queued,
       case when f.seen < %(bound)s::integer then f.running else greatest(f.running, l.running) end as running,
       case when w.all_told then coalesce(d.jobs, 0) else greatest(d.jobs, l.scheduled, 0) end as scheduled,
       case when w.all_told then coalesce(b.jobs, 0) else greatest(b.jobs, l.blocked, 0) end as blocked,
       f.seen < %(bound)s::integer and w.all_told as complete, f.oldest_at, s.workers, s.places, q.concurrency, q.max_queued
from named n
cross join whole w
cross join lateral (
    select count(*) filter (where x.state = 'queued') as queued, count(*) filter (where x.state = 'running') as running,
           min(x.run_at) filter (where x.state = 'queued') as oldest_at, count(*) as seen
    from (
        (select j.state, j.run_at from headrace.job j
         where j.queue = n.name and j.position is not null and j.suspicion = 0 and j.lane is null
         order by j.priority desc, j.position limit %(bound)s::integer)
        union all
        (select j.state, j.run_at from headrace.job j
         where j.queue = n.name and j.position is not null and j.suspicion = 0 and j.lane is not null
         order by j.lane limit %(bound)s::integer)
        union all
        (select j.state, j.run_at from headrace.job j
         where j.queue = n.name and j.position is not null and j.suspicion > 0
         order by j.priority desc, j.position limit %(bound)s::integer)) x) f
cross join lateral (
    select count(*) as workers, coalesce(sum((k.queues ->> n.name)::integer), 0) as places
    from headrace.worker k where k.queues ? n.name and not k.draining) s
left join lateral (
    select q.queued_max as queued, q.running_max as running, q.scheduled_max as scheduled, q.blocked_max as blocked
    from headrace.queue_sample q
    where q.step = 'minute' and q.queue = n.name and q.start_at > now() - interval '5 minutes'
    order by q.start_at desc limit 1) l on true
left join due d on d.queue = n.name
left join blocked b on b.queue = n.name
left join headrace.queue q on q.name = n.name
order by n.name
