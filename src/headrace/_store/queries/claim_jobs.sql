select id, run, queue, task, args, attempts, max_attempts, suspicion, priority, position, extras
from headrace.claim_jobs(%(worker_id)s::bigint, %(queues)s::text[], %(places)s::integer[])
