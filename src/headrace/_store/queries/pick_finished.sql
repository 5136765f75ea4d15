-- The ids of what search_finished.sql finds, for operations.
select j.id::text, j.finished_at
from headrace.job_history j
where {finished} and j.finished_at <= %(before)s and j.finished_at >= %(down_to)s::timestamptz
  and (j.finished_at, j.id) < (%(before)s, %(before_id)s::uuid)
order by j.finished_at desc, j.id desc
limit %(limit)s
