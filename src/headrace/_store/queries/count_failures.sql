-- The latest jobs that have finished, by task: how many, and how many of them failed. Looks at `sample` of them at most.
select s.task, count(*) filter (where s.state <> 'cancelled') as finished, count(*) filter (where s.state = 'failed') as failed
from (
    select h.task, h.state from headrace.job_history h
    where h.finished_at > coalesce(%(now)s::timestamptz, now()) - make_interval(secs => %(window_s)s::float8)
    order by h.finished_at desc
    limit %(sample)s) s
group by s.task
order by s.task
