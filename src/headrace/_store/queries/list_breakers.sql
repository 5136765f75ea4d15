-- The breakers, and how they stand.
select m.name, coalesce(g.state, 'closed') as state, m.forced, nullif(g.since, '-infinity') as since,
       coalesce(g.succeeded, 0) as succeeded, coalesce(g.failed, 0) as failed
from headrace.flow_limit m
left join headrace.flow_gate g on g.limit_id = m.id and g.key = ''
where m.kind = 'breaker' and m.enabled
order by m.name
