-- Looks at a schedule again later, because this worker could not plan or tick it.
update headrace.schedule_due d
set revision = d.revision + 1, problem = %(problem)s,
    next_due = coalesce(%(now)s::timestamptz, now()) + make_interval(secs => %(wait_s)s)
where d.schedule = %(schedule)s and d.tenant = %(tenant)s and d.revision = %(revision)s
