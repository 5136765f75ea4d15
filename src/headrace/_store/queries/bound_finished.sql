-- The moment that so many jobs that finished before a given one did not finish before.
select j.finished_at
from headrace.job_history j
where j.finished_at < %(before)s and {base}
order by j.finished_at desc
offset %(window)s limit 1
