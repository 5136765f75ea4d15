-- Seconds until the next scheduled job is due, of those behind a mark (see promote_jobs.sql); null if there is none.
select extract(epoch from min(j.run_at) - coalesce(%(now)s::timestamptz, now()))::float8
from headrace.job j
where j.position is null and j.blocked_by is null and j.run_at >= %(after)s::timestamptz
