-- What an operator has set of a queue ('': of all of them).
select jsonb_strip_nulls(jsonb_build_object(
    'concurrency', q.concurrency, 'max_queued', q.max_queued,
    'paused', case when p.queue is not null
              then jsonb_build_object('reason', p.reason, 'until', p.until, 'paused_at', p.paused_at) end))
from (select %(queue)s::text as name) n
left join headrace.queue q on q.name = n.name
left join headrace.pause p on p.queue = n.name
