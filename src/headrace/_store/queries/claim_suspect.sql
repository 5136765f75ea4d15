-- Takes one suspect: a job that ran when a lease was lost. A worker runs one at a time. Those of limited queues are
-- taken by claim_limited_jobs. For the rest see claim_jobs.
update headrace.job j
set worker_id = %(worker_id)s, claimed_at = now(), run = j.run + 1, state = 'running',
    lane = null, -- it holds no slot of a limit that is gone
    unique_key = case when j.unique_while_queued then null else j.unique_key end
where j.id = any(array(
    select c.id
    from unnest(%(queues)s::text[]) as q(name)
    cross join lateral (
        select w.id from headrace.job w
        where w.queue = q.name and w.position is not null and w.suspicion > 0 and w.state = 'queued'
          and not exists (select from headrace.flow_limit m where w.task = any(m.tasks))
        order by w.priority desc, w.position
        limit 1
        for no key update skip locked) c
    where (select true from headrace.pause p
           where p.queue in ('', q.name) and (p.until is null or p.until > now()) limit 1) is null
      and (select true from headrace.flow_queue f where f.queue = q.name) is null
      and (select true from headrace.worker l where l.id = %(worker_id)s for key share)
    limit 1))
returning j.id::text, j.run, j.queue, j.task, j.args::text, j.attempts, j.max_attempts, j.suspicion, -j.priority::integer, j.position,
    headrace.claim_extras(j.tenant, j.correlation_id, j.tags, j.metadata, j.expires_at, j.workflow_id, j.inputs)
