-- The id that so many unfinished jobs before a given one are not older than.
select j.id::text from headrace.job j where j.id < %(before_id)s::uuid order by j.id desc offset %(window)s limit 1
