-- Nobody looks before: the last look took long.
update headrace.alert_look set next_at = greatest(next_at, now() + make_interval(secs => %(wait_s)s::float8))
