-- How many of the newest unfinished jobs match, and how many they are.
select count(*) filter (where {open}) as matching, count(*) as jobs
from headrace.job j
where j.id >= coalesce((select o.id from headrace.job o order by o.id desc limit 1 offset %(window)s),
                       '00000000-0000-0000-0000-000000000000')
