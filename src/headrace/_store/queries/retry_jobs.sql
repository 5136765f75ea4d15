select headrace.retry_jobs(%(ids)s::uuid[], %(args)s::text::jsonb, %(from_start)s)::text
