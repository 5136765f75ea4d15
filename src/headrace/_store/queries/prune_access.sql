select headrace.prune_access(%(idle_s)s::float8, %(absolute_s)s::float8)
