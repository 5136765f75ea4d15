-- The limits, what they have let through, and what an operator has changed.
select m.name, m.kind, m.queue, m.tasks, m.key, m.bound, extract(epoch from m.span)::float8 as span_s, m.burst, m.settings,
       m.declared, m.edited, m.enabled,
       (select coalesce(sum(g.held), 0) from headrace.flow_gate g where g.limit_id = m.id)::integer as held,
       (select count(*) from headrace.flow_gate g where g.limit_id = m.id)::integer as keys
from headrace.flow_limit m
order by m.name
