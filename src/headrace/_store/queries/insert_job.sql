-- One job without a unique key, due or not: the shortest way in. Its only row wakes the workers if it is due.
insert into headrace.job (
    id, state, position, run_at, expires_at, priority, max_attempts, wake,
    queue, task, args, tenant, correlation_id, tags, metadata)
select %(id)s, (case when w.due then 'queued' else 'scheduled' end)::headrace.job_state,
       case when w.due then nextval('headrace.job_position') end,
       w.run_at, coalesce(%(expires_at)s::timestamptz, now() + make_interval(secs => %(expires_s)s::float8)),
       %(priority)s::smallint, %(max_attempts)s::smallint, w.due,
       %(queue)s, %(task)s, %(args)s::jsonb, %(tenant)s::text, %(correlation_id)s::text, %(tags)s::text[],
       %(metadata)s::jsonb
from (select d.run_at, d.run_at <= now() as due
      from (select coalesce(%(run_at)s::timestamptz, now() + make_interval(secs => %(delay_s)s::float8)) as run_at) d) w
