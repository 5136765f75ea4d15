-- How many of those that finished last match, and how many they are.
select count(*) filter (where {finished}) as matching, count(*) as jobs
from (select j.* from headrace.job_history j order by j.finished_at desc limit %(window)s) j
