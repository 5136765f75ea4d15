-- How long the lines were, for each span of `bin`: the largest samples. A queue that had no job when all were looked at had none.
select date_bin(make_interval(secs => %(bin_s)s::float8), a.start_at, '2000-01-01 00:00:00+00') as at,
       max(coalesce(q.queued_max, 0))::bigint as queued, max(coalesce(q.running_max, 0))::bigint as running,
       max(coalesce(q.scheduled_max, 0))::bigint as scheduled, max(coalesce(q.blocked_max, 0))::bigint as blocked,
       max(coalesce(q.oldest_s_max, 0)) as oldest_wait
from headrace.queue_sample a
left join headrace.queue_sample q on q.step = a.step and q.start_at = a.start_at and q.queue = coalesce(%(queue)s::text, '')
where a.step = %(step)s and a.queue = '' and a.start_at >= %(since)s::timestamptz and a.start_at < %(until)s::timestamptz
group by 1
order by 1
