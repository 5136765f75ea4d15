select exists (select from headrace.worker where id = %(worker_id)s)
