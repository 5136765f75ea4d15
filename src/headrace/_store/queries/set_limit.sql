select headrace.set_limit(%(name)s, %(kind)s, %(queue)s::text, %(tasks)s::text[], %(key)s::text, %(bound)s::integer,
                          make_interval(secs => %(span_s)s::float8), %(burst)s::integer, %(settings)s::text::jsonb, false,
                          %(now)s::timestamptz)
