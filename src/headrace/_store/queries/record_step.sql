select headrace.record_step(
    %(worker_id)s::bigint, %(id)s::uuid, %(run)s::integer, %(ordinal)s::integer, %(kind)s::text, %(name)s::text, %(result)s::text,
    %(took_s)s::float8, %(wait_s)s::float8, %(patient)s, %(again)s, coalesce(%(now)s::timestamptz, now()))
