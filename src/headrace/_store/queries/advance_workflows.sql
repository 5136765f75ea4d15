select headrace.advance_workflows(%(ids)s::uuid[], now() - make_interval(secs => %(seconds)s::float8))::text
