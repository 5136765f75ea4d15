-- The operation that has waited longest for a worker, taken for some seconds; none, if there is none.
update headrace.operation o
set state = 'running', taken_until = coalesce(%(now)s::timestamptz, now()) + interval '10 seconds'
where o.id = (
    select w.id from headrace.operation w
    where w.state in ('waiting', 'running') and w.starts_at <= coalesce(%(now)s::timestamptz, now())
      and w.taken_until <= coalesce(%(now)s::timestamptz, now())
    order by w.taken_until, w.id
    limit 1
    for no key update skip locked)
returning o.id, o.filter, o.ids::text[] as ids, o.tenant, o.created_at, o.chunks, o.place
