select released, more, events_seen, looks_seen, looks_seen_id
from headrace.release_waiting(
    %(events_after)s::timestamptz, %(looks_after)s::timestamptz, %(looks_after_id)s::uuid, %(chunk)s::integer,
    coalesce(%(now)s::timestamptz, now()))
