-- Answers a row to whoever may look now whether something is wrong: one process in each interval.
update headrace.alert_look l set looked_at = coalesce(%(now)s::timestamptz, now())
where l.only_row = (
    select x.only_row from headrace.alert_look x
    where x.looked_at <= coalesce(%(now)s::timestamptz, now()) - make_interval(secs => %(every_s)s::float8)
    for update skip locked)
returning l.looked_at
