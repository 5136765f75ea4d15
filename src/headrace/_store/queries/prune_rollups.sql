-- Counts and samples that are out of their step's retention: minutes for 2 days, hours for 14, days for 400.
with samples as (
    delete from headrace.queue_sample q
    where (q.step = 'minute' and q.start_at <= coalesce(%(now)s::timestamptz, now()) - interval '2 days')
       or (q.step = 'hour' and q.start_at <= coalesce(%(now)s::timestamptz, now()) - interval '14 days')
       or (q.step = 'day' and q.start_at <= coalesce(%(now)s::timestamptz, now()) - interval '400 days')
)
delete from headrace.rollup r
where (r.step = 'minute' and r.start_at <= coalesce(%(now)s::timestamptz, now()) - interval '2 days')
   or (r.step = 'hour' and r.start_at <= coalesce(%(now)s::timestamptz, now()) - interval '14 days')
   or (r.step = 'day' and r.start_at <= coalesce(%(now)s::timestamptz, now()) - interval '400 days')
