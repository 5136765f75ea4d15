-- Unfinished jobs by queue and state, the oldest queued one's age, and each queue's settings. Reads the whole table, once.
with unfinished as (
    select j.queue,
           count(*) filter (where j.state = 'queued') as queued,
           count(*) filter (where j.state = 'running') as running,
           count(*) filter (where j.state = 'scheduled') as scheduled,
           count(*) filter (where j.state = 'blocked') as blocked,
           min(j.run_at) filter (where j.state = 'queued') as oldest
    from headrace.job j
    group by j.queue
), named as (
    select name from headrace.queue union select queue from headrace.task union select queue from unfinished
)
select n.name as queue,
       coalesce(u.queued, 0) as queued, coalesce(u.running, 0) as running, coalesce(u.scheduled, 0) as scheduled,
       coalesce(u.blocked, 0) as blocked, extract(epoch from now() - u.oldest)::float8 as oldest_s,
       q.concurrency, q.max_queued
from named n
left join unfinished u on u.queue = n.name
left join headrace.queue q on q.name = n.name
order by n.name
