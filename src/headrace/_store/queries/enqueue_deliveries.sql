select last, jobs, deliveries from headrace.enqueue_deliveries(%(after)s::bigint, %(chunk)s)
