-- Log lines of running attempts; a line of an attempt that this worker no longer holds is dropped.
insert into headrace.job_log (job_id, run, logged_at, level, message)
select o.job_id, o.run, o.logged_at, o.level, o.message
from unnest(%(ids)s::uuid[], %(runs)s::integer[], %(times)s::timestamptz[], %(levels)s::text[], %(messages)s::text[])
    as o(job_id, run, logged_at, level, message)
where (select true from headrace.job j where j.id = o.job_id and j.run = o.run and j.worker_id = %(worker_id)s)
