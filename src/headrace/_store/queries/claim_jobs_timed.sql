-- claim_jobs, and how long each job had been due: for workers that are asked for it. The look-up sees what was committed when this
-- began, the claim more: the wait is null of a job that came since, or was still running in an earlier attempt.
select c.id, c.run, c.queue, c.task, c.args, c.attempts, c.max_attempts, c.suspicion, c.rank, c.position, c.extras,
       (select extract(epoch from now() - j.run_at)::float8 from headrace.job j
        where j.id = c.id::uuid and j.state <> 'running') as wait_s
from headrace.claim_jobs(%(worker_id)s::bigint, %(queues)s::text[], %(places)s::integer[],
                         %(segment_queues)s::text[], %(lows)s::smallint[], %(highs)s::smallint[],
                         %(afters)s::bigint[], %(befores)s::bigint[]) c
