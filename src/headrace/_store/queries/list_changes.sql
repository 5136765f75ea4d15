-- What came to the job table and what left it in the last seconds, the latest first: for the live stream. Both scans are of an
-- index's end. What commits later than that is not told; whoever shows certain jobs asks for those.
(select h.id::text, h.state::text, h.run, h.task, h.queue, h.tenant, h.finished_at as at
 from headrace.job_history h
 where h.finished_at > now() - make_interval(secs => %(seconds)s::float8)
 order by h.finished_at desc
 limit %(limit)s)
union all
(select j.id::text, j.state::text, j.run, j.task, j.queue, j.tenant, j.created_at
 from headrace.job j
 where j.id > headrace.uuid7_from(now() - make_interval(secs => %(seconds)s::float8))
 order by j.id desc
 limit %(limit)s)
