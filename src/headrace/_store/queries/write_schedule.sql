select headrace.write_schedule(
    %(fields)s::text::jsonb, %(digest)s::text, %(editor)s::text, %(only_new)s::boolean, %(now)s::timestamptz)
