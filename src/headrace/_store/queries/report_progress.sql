insert into headrace.job_progress as g (job_id, run, done, total, message)
select o.job_id, o.run, o.done, o.total, o.message
from unnest(%(ids)s::uuid[], %(runs)s::integer[], %(dones)s::float8[], %(totals)s::float8[], %(messages)s::text[])
    as o(job_id, run, done, total, message)
where (select true from headrace.job j where j.id = o.job_id and j.run = o.run and j.worker_id = %(worker_id)s)
order by o.job_id
on conflict (job_id) do update
set run = excluded.run, done = excluded.done, total = excluded.total, message = excluded.message, reported_at = now()
where g.run <= excluded.run
