-- The last finished jobs, before a given moment. The states come as their own type: a cast of them would keep the index of
-- unsuccessful jobs out. Sorted by columns, not by what is selected, for the same reason.
select h.id::text, h.state::text, h.task, h.queue, h.priority, h.attempts, h.max_attempts,
       h.created_at, coalesce(h.run_at, h.created_at) as run_at, nullif(h.claimed_at, '-infinity') as claimed_at, h.finished_at, h.error, h.tenant
from headrace.job_history h
where (%(before)s::timestamptz is null or h.finished_at < %(before)s::timestamptz)
  and (%(states)s::headrace.job_state[] is null or h.state = any(%(states)s::headrace.job_state[]))
  and (%(queue)s::text is null or h.queue = %(queue)s::text)
  and (%(task)s::text is null or h.task = %(task)s::text)
order by h.finished_at desc, h.id desc
limit %(limit)s
