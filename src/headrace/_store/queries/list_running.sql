-- Jobs that run now, those that were claimed first ahead. Running jobs are at the front of the claim's indexes; of each queue at most
-- `bound` entries are looked at.
select r.id::text, r.task, r.queue, r.worker_id, r.run, nullif(r.claimed_at, '-infinity') as claimed_at, r.tenant,
       (select jsonb_build_object('done', g.done, 'total', g.total, 'message', g.message)
        from headrace.job_progress g where g.job_id = r.id and g.run = r.run) as progress
from (select name from headrace.queue union select queue from headrace.task) n
cross join lateral (
    (select j.id, j.task, j.queue, j.worker_id, j.run, j.claimed_at, j.tenant, j.state from headrace.job j
     where j.queue = n.name and j.position is not null and j.suspicion = 0 and j.lane is null
     order by j.priority desc, j.position limit %(bound)s::integer)
    union all
    (select j.id, j.task, j.queue, j.worker_id, j.run, j.claimed_at, j.tenant, j.state from headrace.job j
     where j.queue = n.name and j.position is not null and j.suspicion = 0 and j.lane is not null
     order by j.lane limit %(bound)s::integer)
    union all
    (select j.id, j.task, j.queue, j.worker_id, j.run, j.claimed_at, j.tenant, j.state from headrace.job j
     where j.queue = n.name and j.position is not null and j.suspicion > 0
     order by j.priority desc, j.position limit %(bound)s::integer)) r
where r.state = 'running' and (%(tenant)s::text is null or r.tenant = %(tenant)s::text)
order by r.claimed_at, r.id
limit %(limit)s::integer
