select headrace.record_alerts(%(rules)s::jsonb, %(findings)s::jsonb, %(repeat_s)s::float8, %(calm_s)s::float8, %(now)s::timestamptz)
