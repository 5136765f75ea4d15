insert into league.stats_runs (job_id, function, status)
values (%(job_id)s, %(function)s, 'running')
on conflict (job_id, function) do update
set status = 'running', started_at = now(), duration_ms = null, rows = null, error = null
