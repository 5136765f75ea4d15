select headrace.mark_deploy(%(label)s::text, %(by)s::text, %(by_worker)s::boolean, %(at)s::timestamptz)
