-- Schedules that are due, or will be within a moment, the most overdue first; seconds until then by this database's clock. With
-- `behind_s`, not those that have been due for longer: dead entries of the index before that are not looked at.
select d.schedule, d.tenant, d.revision, d.next_at, d.next_due, d.next_nominal, d.next_fold,
       extract(epoch from d.next_due - w.now)::float8 as due_in_s, w.now,
       coalesce(d.cron, s.cron) as cron, s.every, s.at, coalesce(d.timezone, s.timezone) as timezone, s.start_at, s.end_at, s.jitter,
       s.catch_up, s.catch_up_limit
from (select coalesce(%(now)s::timestamptz, now()) as now) w
cross join lateral (
    select x.schedule, x.tenant, x.revision, x.next_at, x.next_due, x.next_nominal, x.next_fold, x.cron, x.timezone
    from headrace.schedule_due x
    where x.next_due <= w.now + make_interval(secs => %(ahead_s)s)
      and x.next_due > coalesce(w.now - make_interval(secs => %(behind_s)s::float8), '-infinity')
    order by x.next_due
    limit %(chunk)s) d
left join headrace.schedule s on s.name = d.schedule
order by d.next_due
