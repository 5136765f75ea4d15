-- Failed jobs of a time by what went wrong, and where. The conditions are put in by searching.py. Most of them have their frames in
-- common: the place is read once for all that do. The frames end with the line of the last one; what follows are messages.
with failed as (
    select j.id, j.task, j.finished_at, j.error ->> 'type' as type, j.error ->> 'kind' as kind, j.error ->> 'message' as message,
           t.trace, length(t.trace) - nullif(strpos(reverse(t.trace), ' ni ,'), 0) as last_frame
    from headrace.job_history j
    cross join lateral (select j.error ->> 'traceback' as trace offset 0) t
    where {finished} and j.state = 'failed' and j.finished_at <= %(before)s and j.finished_at >= %(down_to)s::timestamptz
), alike as (
    select f.task, f.type, f.kind, left(f.trace, f.last_frame) || split_part(substr(f.trace, f.last_frame + 1), E'\n', 1) as frames,
           count(*) as count, min(f.finished_at) as first_seen_at, max(f.finished_at) as last_seen_at,
           (array_agg(f.id order by f.finished_at desc))[1] as example,
           (array_agg(left(f.message, 500) order by f.finished_at desc))[1] as message
    from failed f
    group by 1, 2, 3, 4
), placed as (
    select a.task, a.count, a.first_seen_at, a.last_seen_at, a.example, a.message, coalesce(a.type, a.kind, '') as type,
           e.error, coalesce(headrace.error_place(e.error), a.task) as place
    from alike a
    cross join lateral (
        select jsonb_build_object('type', a.type, 'kind', a.kind, 'traceback', a.frames) as error offset 0) e
)
select headrace.failure_of(p.error, p.task) as failure, min(p.type) as type, min(p.place) as place, sum(p.count)::bigint as count,
       min(p.first_seen_at) as first_seen_at, max(p.last_seen_at) as last_seen_at, array_agg(distinct p.task) as tasks,
       (array_agg(p.example order by p.last_seen_at desc))[1]::text as example,
       (array_agg(p.message order by p.last_seen_at desc))[1] as message
from placed p
group by 1
order by 4 desc, 6 desc
limit %(limit)s
