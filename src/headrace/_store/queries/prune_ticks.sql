-- Ticks that are out of retention. A chunk at a time, by where they are: a join would read the whole table. Those that wait are
-- kept.
delete from headrace.tick t
where t.ctid = any(array(
    select o.ctid from headrace.tick o
    where o.fired_at < coalesce(%(now)s::timestamptz, now()) - interval '30 days' and o.outcome <> 'waiting'
    order by o.fired_at
    limit %(chunk)s
    for update skip locked))
