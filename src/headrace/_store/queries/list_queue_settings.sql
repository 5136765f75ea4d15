select name, concurrency, max_queued from headrace.queue order by name
