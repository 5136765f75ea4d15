-- The moments of a schedule that have come, the latest first.
select t.schedule, t.tenant, t.nominal, t.fold, t.due_at, t.fired_at, t.fired_at - t.due_at as lateness, t.cause, t.outcome,
       t.job_id, t.through, t.detail
from headrace.tick t
where t.schedule = %(name)s and (%(tenant)s::text is null or t.tenant = %(tenant)s)
  and (%(before)s::timestamptz is null or t.due_at < %(before)s::timestamptz)
order by t.due_at desc
limit %(limit)s
