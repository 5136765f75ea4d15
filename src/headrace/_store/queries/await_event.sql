select outcome, payload, left_s
from headrace.await_event(
    %(worker_id)s::bigint, %(id)s::uuid, %(run)s::integer, %(ordinal)s::integer, %(event)s::text, %(timeout_s)s::float8,
    coalesce(%(now)s::timestamptz, now()))
