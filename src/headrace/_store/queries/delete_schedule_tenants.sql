-- Tenants of a schedule. What of it still waited for them gets no job.
with gone as (
    delete from headrace.schedule_due d
    where d.schedule = %(name)s and d.tenant <> '' and d.tenant = any(%(tenants)s::text[])
    returning d.schedule, d.tenant
), dropped as (
    update headrace.tick t set outcome = 'skipped', detail = 'the tenant was removed'
    from gone g
    where t.outcome = 'waiting' and t.schedule = g.schedule and t.tenant = g.tenant
)
select tenant from gone
