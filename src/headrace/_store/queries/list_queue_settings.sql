-- What an operator has set of queues, and whether limits apply to their jobs.
select coalesce(q.name, f.queue) as name, q.concurrency, q.max_queued, f.queue is not null as limited
from headrace.queue q
full join headrace.flow_queue f on f.queue = q.name
order by 1
