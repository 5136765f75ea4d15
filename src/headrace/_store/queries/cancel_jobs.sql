select job_id::text, outcome from headrace.cancel_jobs(%(ids)s::uuid[], %(reason)s)
