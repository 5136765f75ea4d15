delete from headrace.enqueue_key where (task, tenant, key) in (
    select task, tenant, key from headrace.enqueue_key
    where expires_at <= coalesce(%(now)s::timestamptz, now())
    limit %(chunk)s
    for update skip locked)
