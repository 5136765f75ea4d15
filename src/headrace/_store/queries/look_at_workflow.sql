-- How far a workflow is.
select jsonb_strip_nulls(jsonb_build_object(
    'state', w.state, 'blocked', w.blocked, 'queued', w.queued, 'succeeded', w.succeeded, 'failed', w.failed,
    'cancelled', w.cancelled, 'cancel_reason', w.cancel_reason))
from headrace.workflow w where w.id = %(id)s::text::uuid
