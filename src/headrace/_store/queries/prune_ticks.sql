-- Ticks that are out of retention. A chunk at a time; those that wait are kept.
delete from headrace.tick t
where (t.schedule, t.tenant, t.nominal, t.fold) in (
    select o.schedule, o.tenant, o.nominal, o.fold from headrace.tick o
    where o.fired_at < coalesce(%(now)s::timestamptz, now()) - interval '30 days' and o.outcome <> 'waiting'
    order by o.fired_at
    limit %(chunk)s
    for update skip locked)
