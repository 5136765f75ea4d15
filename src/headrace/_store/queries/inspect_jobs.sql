-- The lines and who serves them: one row for each queue with unfinished jobs, and what of them is wrong. Reads all unfinished jobs.
select j.queue, count(*) filter (where j.state = 'queued') as queued, count(*) filter (where j.state = 'running') as running,
       min(j.run_at) filter (where j.state = 'queued') as oldest,
       count(*) filter (where j.state = 'running' and w.id is null and j.claimed_at < now() - interval '1 minute') as lost,
       count(*) filter (where j.blocked_by = 'task') as parked,
       array_agg(distinct j.task) filter (where j.blocked_by = 'task') as parked_tasks,
       min(j.run_at) filter (where j.state = 'scheduled' and j.run_at < now() - interval '1 minute') as overdue,
       max(j.position) as last_position,
       (select count(*) from headrace.worker s
        where s.queues ? j.queue and not s.draining and s.beaten_at >= now() - make_interval(secs => %(lease_s)s)) as workers,
       (select true from headrace.pause p
        where p.queue in ('', j.queue) and (p.until is null or p.until > now()) limit 1) is not null as paused
from headrace.job j
left join headrace.worker w on w.id = j.worker_id and j.state = 'running'
group by j.queue
order by j.queue
