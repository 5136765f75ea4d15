select id, run, queue, task, args, attempts, max_attempts, suspicion, rank, position, extras
from headrace.claim_jobs(%(worker_id)s::bigint, %(queues)s::text[], %(places)s::integer[],
                         %(segment_queues)s::text[], %(lows)s::smallint[], %(highs)s::smallint[],
                         %(afters)s::bigint[], %(befores)s::bigint[])
