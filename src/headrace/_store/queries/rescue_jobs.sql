select job_id::text, outcome from headrace.rescue_jobs(%(poison_limit)s, %(chunk)s)
