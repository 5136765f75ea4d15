-- Stops an operation: at once if it has not begun, else after the chunk that is being done. What is done stays done.
update headrace.operation o set state = 'cancelled', cancelled_by = %(by)s, finished_at = now()
where o.id = %(id)s and o.state in ('waiting', 'running') and (%(tenant)s::text is null or o.tenant = %(tenant)s::text)
returning o.id
