-- Answers the leases that still exist: a worker that is not among them has lost its lease.
update headrace.worker set beat = beat + 1, beaten_at = now() where id = any(%(worker_ids)s::bigint[]) returning id
