-- Operations, newest first, before a given one; or one.
select o.id, o.state, o.action, o.settings, o.filter, cardinality(o.ids) as listed, o.tenant, o.started_by, o.created_at, o.starts_at,
       o.estimate, o.done, o.skipped, o.failed, o.finished_at, o.cancelled_by, o.problem
from headrace.operation o
where (%(id)s::bigint is null or o.id = %(id)s::bigint) and (%(before)s::bigint is null or o.id < %(before)s::bigint)
  and (%(tenant)s::text is null or o.tenant = %(tenant)s::text)
order by o.id desc
limit %(limit)s
