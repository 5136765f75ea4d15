update league.stats_runs
set status = %(status)s, duration_ms = %(duration_ms)s, rows = %(rows)s, error = %(error)s
where job_id = %(job_id)s and function = %(function)s
