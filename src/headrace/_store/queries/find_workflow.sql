-- One row, however many jobs there are.
select w.id::text, w.name, w.state::text, w.policy, w.blocked, w.queued, w.succeeded, w.failed, w.cancelled, w.created_at,
       w.finished_at, w.cancel_reason
from headrace.workflow w
where w.id = %(id)s::uuid
