-- Jobs whose task no worker knew, now that this one does.
update headrace.job j
set state = 'queued', blocked_by = null, position = nextval('headrace.job_position')
where j.id = any(array(
    select b.id from headrace.job b
    where b.blocked_by = 'task' and b.task = any(%(tasks)s::text[])
    limit %(chunk)s
    for no key update skip locked))
returning j.id::text
