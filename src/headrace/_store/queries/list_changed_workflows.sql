-- Workflows that have something to reckon, something to move, or nothing left to wait for but somebody who adds to them.
select c.workflow_id::text from headrace.workflow_change c where c.at >= now() - make_interval(secs => %(seconds)s::float8)
union
select n.workflow_id::text from headrace.workflow_node n where n.move is not null
union
select w.id::text from headrace.workflow w where w.finishing
