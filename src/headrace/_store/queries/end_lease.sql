-- With a beat: only if the lease has not beaten since it was observed. Waits for the worker's claim in flight, if any.
delete from headrace.worker
where id = %(worker_id)s and (%(beat)s::bigint is null or beat = %(beat)s::bigint)
returning id
