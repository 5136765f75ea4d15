-- Lets other operations have their turn, then anybody go on with this one.
update headrace.operation o set taken_until = now() where o.id = %(id)s and o.state = 'running'
