-- Answers a row to whoever may look now whether something is wrong: one process in each interval.
update headrace.alert_look l
set next_at = coalesce(%(now)s::timestamptz, now()) + make_interval(secs => %(every_s)s::float8)
where l.only_row = (
    select x.only_row from headrace.alert_look x
    where x.next_at <= coalesce(%(now)s::timestamptz, now())
    for update skip locked)
returning l.next_at
