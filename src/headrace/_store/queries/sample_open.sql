-- How many of the newest unfinished jobs match, and how many they are.
select count(*) filter (where {open}) as matching, count(*) as jobs
from (select j.* from headrace.job j order by j.id desc limit %(window)s) j
