-- How many of those that finished last match, and how many they are.
select count(*) filter (where {finished}) as matching, count(*) as jobs
from headrace.job_history j
where j.finished_at >= coalesce((select o.finished_at from headrace.job_history o
                                 order by o.finished_at desc limit 1 offset %(window)s), '-infinity')
