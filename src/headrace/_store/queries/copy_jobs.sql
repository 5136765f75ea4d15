-- Many due jobs without unique keys; run_at and position come from the columns' defaults.
copy headrace.job (id, queue, task, args, priority, max_attempts, wake, expires_at, tenant, correlation_id, tags, metadata)
from stdin
