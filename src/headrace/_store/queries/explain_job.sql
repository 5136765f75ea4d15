-- Everything that says why a job is where it is, as one row: one statement, so that all of it is true at one moment. What is counted
-- is counted up to a bound. Without a tenant of its own the caller sees everything; with one, nothing of other tenants' jobs.
with recursive job as materialized (
    select j.id, j.state, j.task, j.queue, j.priority, j.attempts, j.max_attempts, j.run, j.created_at, j.run_at, j.expires_at,
           nullif(j.claimed_at, '-infinity') as claimed_at, null::timestamptz as finished_at, j.worker_id, j.position,
           j.suspicion, j.blocked_by, j.cancel_reason, j.workflow_id, null::jsonb as error,
           case when j.state = 'queued' then (
               select n.lane from headrace.lane_of(j.queue, j.task, j.tenant, j.args, j.id, j.created_at) n where n.limited) end as lane,
           j.lane as stored_lane
    from headrace.job j
    where j.id = %(id)s::uuid and (%(tenant)s::text is null or j.tenant = %(tenant)s::text)
    union all
    select h.id, h.state, h.task, h.queue, h.priority, h.attempts, h.max_attempts, h.run, h.created_at,
           coalesce(h.run_at, h.created_at), h.expires_at, nullif(h.claimed_at, '-infinity'), h.finished_at, h.worker_id, null,
           0, null, null, h.workflow_id, h.error, null, null
    from headrace.job_history h
    where h.id = %(id)s::uuid and h.finished_at >= headrace.uuid7_floor(%(id)s::uuid)
      and (%(tenant)s::text is null or h.tenant = %(tenant)s::text)
), gate as materialized (
    select m.id, m.name, m.kind, m.bound, m.burst, m.forced, m.settings, nullif(p.pair ->> 1, '') as key,
           ceil(extract(epoch from m.span) * 1000000 / greatest(1, m.bound))::bigint as rate_us,
           case when m.kind = 'rate' then floor(extract(epoch from m.changed_at) * 1000000)::bigint end as changed_us,
           g.tat_us, g.step_us, coalesce(g.turn, 0) as turn, g.holder, coalesce(g.state, 'closed') as state, g.since, g.probes,
           -- What has ended, and is not folded in yet, holds nothing any more.
           greatest(0, coalesce(g.held, 0) - (
               select count(*)
               from (select r.lanes from headrace.flow_release r limit 1000) r
               cross join lateral unnest(r.lanes) as e(lane)
               cross join lateral jsonb_array_elements(e.lane::jsonb - 0) as q(pair)
               where q.pair = p.pair)) as held
    from job j
    cross join lateral jsonb_array_elements(j.lane::jsonb - 0) as p(pair)
    join headrace.flow_limit m on m.id = (p.pair ->> 0)::bigint and m.enabled
    left join headrace.flow_gate g on g.limit_id = m.id and g.key = p.pair ->> 1
), serving as materialized (
    select w.id, w.draining, w.beaten_at < now() - make_interval(secs => %(lease_s)s) as silent,
           coalesce((select q.concurrency from headrace.queue q where q.name = j.queue), (w.queues ->> j.queue)::integer) as places
    from job j join headrace.worker w on w.queues ? j.queue
), parent (id) as (
    select unnest(n.parents) from job j join headrace.workflow_node n on n.job_id = j.id where j.blocked_by = 'parents'
    union
    select unnest(b.parents) from parent p join headrace.workflow_node b on b.job_id = p.id where b.kind = 'barrier'
), unfinished as materialized (
    select w.id, w.task, w.state::text, w.tenant, n.name
    from (select p.id from parent p limit 10000) p
    join headrace.job w on w.id = p.id
    left join headrace.workflow_node n on n.job_id = p.id
)
select j.id::text, j.state::text, j.task, j.queue, j.attempts, j.max_attempts, j.run, j.run_at, j.created_at, j.expires_at,
       j.claimed_at, j.finished_at, nullif(j.worker_id, 0) as worker_id, j.suspicion, j.blocked_by, j.cancel_reason,
       j.workflow_id::text, j.error, now() as at, coalesce(j.expires_at < now(), false) as expired,
       exists (select from headrace.task t where t.name = j.task) as task_known,
       (select jsonb_agg(jsonb_build_object('queue', nullif(p.queue, ''), 'by', p.paused_by, 'reason', p.reason,
                                            'since', p.paused_at, 'until', p.until) order by p.queue)
        from headrace.pause p
        where j.state in ('queued', 'scheduled') and p.queue in ('', j.queue) and (p.until is null or p.until > now())) as pauses,
       (select jsonb_agg(jsonb_build_object(
                   'kind', g.kind, 'name', g.name, 'key', g.key, 'held', g.held, 'bound', g.bound, 'opens_at', s.opens_at,
                   'state', case when g.kind = 'breaker' then coalesce(g.forced, g.state) end, 'forced', g.forced is not null,
                   'holder', s.holder, 'holder_state', s.holder_state) order by g.name)
        from gate g
        cross join lateral (
            select case g.kind
                       when 'rate' then now() + interval '1 microsecond' * (headrace.rate_ahead(
                           coalesce(g.tat_us, 0), coalesce(g.step_us, g.rate_us), g.rate_us, g.changed_us,
                           floor(extract(epoch from now()) * 1000000)::bigint) - (g.burst - 1) * g.rate_us)
                       when 'breaker' then case when g.forced is null and g.state = 'open'
                                                then g.since + make_interval(secs => (g.settings ->> 'cool_down_s')::float8) end
                       end as opens_at, h.holder, h.holder_state, h.holds
            from (select) one
            left join lateral (
                select case when %(tenant)s::text is null or w.tenant = %(tenant)s::text then w.id end as holder,
                       w.state::text as holder_state, true as holds
                from headrace.job w
                where g.kind = 'order' and w.id = g.holder and w.id <> j.id
                  and (w.state = 'running' or g.settings ->> 'on_failure' = 'hold')) h on true) s
        where case g.kind
                  when 'concurrency' then g.held >= g.bound
                  when 'rate' then s.opens_at > now()
                  when 'order' then g.held > 0 or s.holds
                  when 'breaker' then coalesce(g.forced, g.state) = 'open' or (g.forced is null and g.state = 'half_open' and g.probes >= g.bound)
                  when 'fair' then g.turn > (select f.turn from headrace.flow_queue f where f.queue = j.queue)
                  else false end) as gates,
       (select jsonb_build_object('live', count(*) filter (where not s.silent and not s.draining),
                                  'draining', count(*) filter (where not s.silent and s.draining),
                                  'silent', count(*) filter (where s.silent),
                                  'places', coalesce(sum(s.places) filter (where not s.silent and not s.draining), 0))
        from serving s) as workers,
       case when j.state = 'queued' then (
           -- Those of its line that start before it: larger priorities, and older ones of its own.
           select count(*)
           from ((select from headrace.job w
                  where j.suspicion = 0 and j.stored_lane is null and w.queue = j.queue and w.priority > j.priority
                    and w.position is not null and w.suspicion = 0 and w.lane is null and w.state = 'queued' limit %(bound)s)
                 union all
                 (select from headrace.job w
                  where j.suspicion = 0 and j.stored_lane is null and w.queue = j.queue and w.priority = j.priority
                    and w.position < j.position
                    and w.position is not null and w.suspicion = 0 and w.lane is null and w.state = 'queued' limit %(bound)s)
                 union all
                 (select from headrace.job w
                  where j.suspicion = 0 and w.queue = j.queue and w.lane = j.stored_lane
                    and (-w.priority::integer, w.position) < (-j.priority::integer, j.position)
                    and w.position is not null and w.suspicion = 0 and w.lane is not null and w.state = 'queued' limit %(bound)s)
                 union all
                 (select from headrace.job w
                  where j.suspicion > 0 and w.queue = j.queue and w.id <> j.id
                    and (w.priority > j.priority or (w.priority = j.priority and w.position < j.position))
                    and w.position is not null and w.suspicion > 0 and w.state in ('queued', 'running') limit %(bound)s)) a) end as ahead,
       case when j.state = 'queued' then (
           -- Those of its queue that run, among the first of each index.
           select count(*) filter (where r.state = 'running')
           from ((select w.state from headrace.job w
                  where w.queue = j.queue and w.position is not null and w.suspicion = 0 and w.lane is null
                  order by w.priority desc, w.position limit 10 * %(bound)s)
                 union all
                 (select w.state from headrace.job w
                  where w.queue = j.queue and w.position is not null and w.suspicion = 0 and w.lane is not null
                  order by w.lane, (-w.priority::integer), w.position limit 10 * %(bound)s)
                 union all
                 (select w.state from headrace.job w
                  where w.queue = j.queue and w.position is not null and w.suspicion > 0
                  order by w.priority desc, w.position limit %(bound)s)) r) end as running,
       case when j.state = 'running' then (
           select jsonb_build_object('host', w.host, 'pid', w.pid, 'draining', w.draining,
                                     'silent_s', extract(epoch from now() - w.beaten_at)::float8)
           from headrace.worker w where w.id = j.worker_id) end as worker,
       case when j.state = 'running' then (
           select jsonb_build_object('done', g.done, 'total', g.total, 'message', g.message, 'at', g.reported_at)
           from headrace.job_progress g where g.job_id = j.id and g.run = j.run) end as progress,
       case when j.finished_at is null and j.run > 0 then (
           select jsonb_build_object('run', a.run, 'outcome', a.outcome, 'finished_at', a.finished_at, 'error', a.error)
           from headrace.attempt a
           where a.job_id = j.id and a.finished_at >= headrace.uuid7_floor(%(id)s::uuid)
           order by a.run desc limit 1) end as last_attempt,
       case when j.state = 'scheduled' and j.run > 0 then (
           select s.wakes_at from headrace.step s
           where s.job_id = j.id and s.recorded_at >= headrace.uuid7_floor(%(id)s::uuid) and s.kind = 'sleep' and s.outcome = 'waiting'
           order by s.ordinal desc limit 1) end as wakes_at,
       case when j.blocked_by = 'parents' then (
           select jsonb_build_object(
                      'name', (select w.name from headrace.workflow w where w.id = j.workflow_id), 'count', count(*),
                      'jobs', coalesce(jsonb_agg(jsonb_build_object('id', u.id, 'name', u.name, 'task', u.task, 'state', u.state) order by u.id)
                              filter (where u.rank <= 10 and (%(tenant)s::text is null or u.tenant = %(tenant)s::text)), '[]'))
           from (select u.id, u.name, u.task, u.state, u.tenant, row_number() over (order by u.id) as rank from unfinished u) u) end as parents
from job j
