-- The audit log, the latest first.
select a.id, a.at, a.by, a.source, a.address, a.action, a.kind, a.targets, a.count, a.before, a.after
from headrace.audit a
where (%(before)s::bigint is null or a.id < %(before)s)
  and (%(by)s::text is null or a.by = %(by)s)
  and (%(action)s::text is null or a.action = %(action)s)
  and (%(kind)s::text is null or a.kind = %(kind)s)
  and (%(target)s::text is null or a.targets @> array[%(target)s::text])
  and (%(since)s::timestamptz is null or a.at >= %(since)s)
  and (%(until)s::timestamptz is null or a.at < %(until)s)
order by a.id desc
limit %(limit)s
