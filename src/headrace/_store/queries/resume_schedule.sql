-- The end of pause_schedule.
with whole as (
    update headrace.schedule s set paused_at = null, paused_by = null, paused_reason = null
    where s.name = %(name)s and %(tenant)s::text is null
    returning s.name
), one as (
    update headrace.schedule_due d set paused_at = null, paused_by = null, paused_reason = null
    where d.schedule = %(name)s and d.tenant = %(tenant)s::text
    returning d.schedule
)
select name from whole union all select schedule from one
