select headrace.force_breaker(%(name)s, %(state)s::text)
