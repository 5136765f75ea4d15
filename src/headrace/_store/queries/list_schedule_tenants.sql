-- The tenants of a schedule, those after a given one; or one of them: '' is the row of a schedule that is not per tenant.
select d.tenant, d.cron, d.timezone, d.args, d.next_due, d.next_at, d.next_nominal, d.next_fold, d.skip_next, d.problem,
       d.paused_at, d.paused_by, d.paused_reason
from headrace.schedule_due d
where d.schedule = %(name)s and (%(tenant)s::text is null or d.tenant = %(tenant)s) and (%(after)s::text is null or d.tenant > %(after)s)
order by d.tenant
limit %(limit)s
