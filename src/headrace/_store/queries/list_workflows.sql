-- The newest workflows, before a given id. Ids are in the order of their creation.
select w.id::text, w.name, w.state::text, w.policy, w.blocked, w.queued, w.succeeded, w.failed, w.cancelled, w.created_at,
       w.finished_at, w.cancel_reason
from headrace.workflow w
where (%(before)s::uuid is null or w.id < %(before)s::uuid)
  and (%(states)s::text[] is null or w.state::text = any(%(states)s::text[]))
order by w.id desc
limit %(limit)s
