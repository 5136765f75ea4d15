select headrace.delete_jobs(%(ids)s::uuid[])::text
