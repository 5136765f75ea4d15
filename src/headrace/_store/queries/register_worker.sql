insert into headrace.worker (host, pid, version, queues)
values (%(host)s, %(pid)s, %(version)s, %(queues)s::jsonb)
returning id
