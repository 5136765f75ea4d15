select headrace.prune_workflows(coalesce(%(now)s::timestamptz, now()), %(chunk)s)
