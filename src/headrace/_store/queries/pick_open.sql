-- The ids of what search_open.sql finds, for operations.
select f.id::text
from (
    (select j.id from headrace.job j
     where {open} and j.created_at <= %(as_of)s and j.id < %(before_id)s::uuid and j.id >= %(down_to_id)s::uuid
     order by j.id desc
     limit %(limit)s)
    union all
    (select j.id from headrace.job_history j
     where {finished} and j.created_at <= %(as_of)s and j.finished_at > %(as_of)s and j.finished_at < %(until)s
       and j.id < %(before_id)s::uuid and j.id >= %(down_to_id)s::uuid
     order by j.id desc
     limit %(limit)s)) f
order by f.id desc
limit %(limit)s
