-- The next moment of a schedule, or of one of its tenants, gets no job; or gets one after all.
update headrace.schedule_due d set skip_next = %(skip)s
where d.schedule = %(name)s and (%(tenant)s::text is null or d.tenant = %(tenant)s)
returning d.tenant
