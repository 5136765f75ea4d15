-- What is undelivered is left: somebody may wait for it who has not been told.
delete from headrace.event
where name = any(array(
    select name from headrace.event
    where expires_at <= coalesce(%(now)s::timestamptz, now()) and delivered
    order by expires_at
    limit %(chunk)s
    for update skip locked))
returning name
