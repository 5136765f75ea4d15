select headrace.run_schedule(%(name)s, %(tenant)s, %(nominal)s::timestamp)::text
