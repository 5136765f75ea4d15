-- Failed jobs of a time by what went wrong, and where. The conditions are put in by searching.py.
select f.failure, min(f.type) as type, min(f.place) as place, count(*) as count, min(f.finished_at) as first_seen_at,
       max(f.finished_at) as last_seen_at, array_agg(distinct f.task) as tasks,
       (array_agg(f.id order by f.finished_at desc))[1]::text as example,
       (array_agg(f.message order by f.finished_at desc))[1] as message
from (
    select headrace.failure_of(j.error, j.task) as failure, coalesce(j.error ->> 'type', j.error ->> 'kind', '') as type,
           coalesce(headrace.error_place(j.error), j.task) as place, j.finished_at, j.task, j.id,
           left(j.error ->> 'message', 500) as message
    from headrace.job_history j
    where {finished} and j.state = 'failed' and j.finished_at <= %(before)s and j.finished_at >= %(down_to)s::timestamptz) f
group by f.failure
order by count(*) desc, max(f.finished_at) desc
limit %(limit)s
