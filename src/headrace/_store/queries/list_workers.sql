select id, host, pid, version, queues, started_at, beaten_at, draining,
       extract(epoch from now() - beaten_at)::float8 as silent_s
from headrace.worker order by id
