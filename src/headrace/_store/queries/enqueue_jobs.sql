select ordinal, job_id, existed from headrace.enqueue_jobs(%(jobs)s::text::jsonb) order by ordinal
