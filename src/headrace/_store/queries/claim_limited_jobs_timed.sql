-- claim_limited_jobs, and how long each job had been due: for workers that are asked for it; see claim_jobs_timed.
select c.id, c.run, c.queue, c.task, c.args, c.attempts, c.max_attempts, c.suspicion, c.rank, c.position, c.extras,
       (select extract(epoch from now() - j.run_at)::float8 from headrace.job j
        where j.id = c.id::uuid and j.state <> 'running') as wait_s
from headrace.claim_limited_jobs(%(worker_id)s::bigint, %(queues)s::text[], %(places)s::integer[], %(suspects)s,
                                 %(segment_queues)s::text[], %(lows)s::smallint[], %(highs)s::smallint[],
                                 %(afters)s::bigint[], %(befores)s::bigint[],
                                 %(cursor_lanes)s::text[], %(cursor_ranks)s::integer[], %(chunk)s, %(most_lanes)s,
                                 %(now)s::timestamptz) c
