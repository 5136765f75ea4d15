-- Pauses a schedule, or what of it is one tenant's: its moments pass, and get no jobs.
with whole as (
    update headrace.schedule s
    set paused_at = coalesce(s.paused_at, now()), paused_by = %(by)s, paused_reason = %(reason)s
    where s.name = %(name)s and %(tenant)s::text is null
    returning s.name
), one as (
    update headrace.schedule_due d
    set paused_at = coalesce(d.paused_at, now()), paused_by = %(by)s, paused_reason = %(reason)s
    where d.schedule = %(name)s and d.tenant = %(tenant)s::text
    returning d.schedule
)
select name from whole union all select schedule from one
