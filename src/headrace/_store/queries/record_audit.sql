select headrace.record_audit(
    %(by)s::text, %(source)s::text, %(address)s::text, %(action)s::text, %(kind)s::text, %(targets)s::text[], %(count)s::bigint,
    %(before)s::text::jsonb, %(after)s::text::jsonb)
