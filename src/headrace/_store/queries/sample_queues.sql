select headrace.sample_queues(%(now)s::timestamptz)
