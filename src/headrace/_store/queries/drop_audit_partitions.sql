select headrace.drop_audit_partitions(coalesce(%(now)s::timestamptz, now()))
