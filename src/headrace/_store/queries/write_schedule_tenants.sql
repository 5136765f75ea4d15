-- Tenants of a schedule, with what is their own. If when a tenant's is due has changed, its next moment is planned anew.
insert into headrace.schedule_due as d (schedule, tenant, next_due, next_at, cron, timezone, args)
select s.name, r.tenant, case when s.enabled then w.now end, w.now, r.cron, r.timezone, r.args
from headrace.schedule s
cross join (select coalesce(%(now)s::timestamptz, now()) as now) w
cross join jsonb_to_recordset(%(tenants)s::text::jsonb) as r(tenant text, cron text, timezone text, args jsonb)
where s.name = %(name)s and s.per_tenant
order by r.tenant
on conflict (schedule, tenant) do update
set revision = d.revision + 1, cron = excluded.cron, timezone = excluded.timezone, args = excluded.args, problem = null,
    (next_due, next_at, next_nominal) = (
        select case when c.changed then excluded.next_due else d.next_due end,
               case when c.changed then excluded.next_at else d.next_at end,
               case when not c.changed then d.next_nominal end
        from (select row(d.cron, d.timezone) is distinct from row(excluded.cron, excluded.timezone) as changed) c)
returning d.tenant
