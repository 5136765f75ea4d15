-- The newest unfinished jobs, before a given id. Ids are in the order of their creation.
select j.id::text, j.state::text, j.task, j.queue, j.priority, j.attempts, j.max_attempts, j.created_at, j.run_at,
       nullif(j.claimed_at, '-infinity') as claimed_at, null::timestamptz as finished_at, null::jsonb as error, j.tenant
from headrace.job j
where (%(before)s::uuid is null or j.id < %(before)s::uuid)
  and (%(states)s::text[] is null or j.state::text = any(%(states)s::text[]))
  and (%(queue)s::text is null or j.queue = %(queue)s::text)
  and (%(task)s::text is null or j.task = %(task)s::text)
order by j.id desc
limit %(limit)s
