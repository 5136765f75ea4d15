-- A row if the lease exists: whether somebody wants its worker to drain.
select draining from headrace.worker where id = %(worker_id)s
