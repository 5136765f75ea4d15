select headrace.drop_partition(%(name)s, coalesce(%(now)s::timestamptz, now()))
