-- Takes messages to send. Nobody else sends them for as long as a try may take; one that was not sent is due again later and later.
update headrace.alert_message m
set tries = m.tries + 1,
    next_at = coalesce(%(now)s::timestamptz, now()) + least(interval '10 minutes', interval '1 minute' * (1 << m.tries))
where m.id = any(array(
    select x.id from headrace.alert_message x
    where x.destination = any(%(destinations)s::text[]) and x.next_at <= coalesce(%(now)s::timestamptz, now())
    order by x.id
    limit %(chunk)s
    for update skip locked))
returning m.id, m.destination, m.kind, m.rule, m.subject, m.detail, m.severity, m.since, m.created_at, m.tries
