select id, run, queue, task, args, attempts, max_attempts, suspicion, rank, position, extras
from headrace.claim_limited_jobs(%(worker_id)s::bigint, %(queues)s::text[], %(places)s::integer[], %(suspects)s,
                                 %(segment_queues)s::text[], %(lows)s::smallint[], %(highs)s::smallint[],
                                 %(afters)s::bigint[], %(befores)s::bigint[],
                                 %(cursor_lanes)s::text[], %(cursor_ranks)s::integer[], %(chunk)s, %(most_lanes)s,
                                 %(now)s::timestamptz)
