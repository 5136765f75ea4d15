select headrace.emit(%(event)s::text, %(payload)s::text::jsonb, make_interval(secs => %(keep_s)s::text::float8))
