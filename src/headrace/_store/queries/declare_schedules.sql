select schedule, change from headrace.declare_schedules(%(worker_id)s::bigint, %(declarations)s::text::jsonb, %(tasks)s::text[])
