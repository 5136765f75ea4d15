select schedule, tenant from headrace.tick_schedules(%(plans)s::text::jsonb, %(now)s::timestamptz)
