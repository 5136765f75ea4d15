select headrace.remove_limit(%(name)s)
