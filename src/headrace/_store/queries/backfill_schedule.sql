select headrace.backfill_schedule(%(name)s, %(tenant)s, %(moments)s::text::jsonb)
