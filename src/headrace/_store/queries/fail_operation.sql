update headrace.operation o set state = 'failed', problem = %(problem)s, finished_at = now()
where o.id = %(id)s and o.state = 'running'
