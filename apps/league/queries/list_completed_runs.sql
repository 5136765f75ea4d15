select function, status, duration_ms, rows, error
from league.stats_runs
where job_id = %(job_id)s and status = 'completed'
