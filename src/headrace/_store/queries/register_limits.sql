-- Limits as code declares them; what an operator has set or removed since stays.
select headrace.set_limit(r.name, r.kind, r.queue, r.tasks, r.key, r.bound, make_interval(secs => r.span_s), r.burst, r.settings, true)
from jsonb_to_recordset(%(limits)s::text::jsonb) as r(
    name text, kind text, queue text, tasks text[], key text, bound integer, span_s float8, burst integer, settings jsonb)
order by r.name
