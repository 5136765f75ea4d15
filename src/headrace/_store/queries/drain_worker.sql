update headrace.worker set draining = true where id = %(worker_id)s
