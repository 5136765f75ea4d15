select headrace.retry_jobs(%(ids)s::uuid[], %(args)s::text::jsonb)::text
