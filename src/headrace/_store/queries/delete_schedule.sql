-- A schedule that was made at run time or that no code declares any more, with its tenants. Its ticks stay until they are out of
-- retention; those that wait get no job.
with gone as (
    delete from headrace.schedule s where s.name = %(name)s and (s.declared is null or not s.enabled) returning s.name
), due as (
    delete from headrace.schedule_due d using gone g where d.schedule = g.name
), dropped as (
    update headrace.tick t set outcome = 'skipped', detail = 'the schedule was deleted'
    from gone g
    where t.outcome = 'waiting' and t.schedule = g.name
)
select name from gone
