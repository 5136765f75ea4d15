-- How the queues, the workers and the database are, as one row of JSON values: for metrics and alerts. Reads the unfinished jobs
-- once, from end to end. Of other roles' sessions PostgreSQL shows nothing but their number, unless ours is in pg_read_all_stats.
with unfinished as materialized (
    select j.queue, j.state::text as state, count(*) as jobs,
           extract(epoch from now() - min(j.run_at) filter (where j.state = 'queued'))::float8 as oldest_s
    from headrace.job j
    group by 1, 2
), named as (
    select name from headrace.queue union select queue from headrace.task union select queue from unfinished
), queues as (
    select n.name, coalesce(jsonb_object_agg(u.state, u.jobs) filter (where u.state is not null), '{}') as jobs,
           coalesce(max(u.oldest_s), 0) as oldest_s, bool_or(p.queue is not null) as paused
    from named n
    left join unfinished u on u.queue = n.name
    left join headrace.pause p on p.queue in ('', n.name) and (p.until is null or p.until > now())
    group by n.name
), holders as (
    select 'session' as kind, coalesce(nullif(a.application_name, ''), a.usename, '') || ' (pid ' || a.pid || ')' as name,
           extract(epoch from now() - coalesce(a.xact_start, a.query_start))::float8 as age_s, age(a.backend_xmin) as transactions
    from pg_stat_activity a
    where a.backend_xmin is not null and a.datname = current_database() and a.pid <> pg_backend_pid()
      and a.backend_type is distinct from 'autovacuum worker'
    union all
    select 'prepared', x.gid, extract(epoch from now() - x.prepared)::float8, age(x.transaction)
    from pg_prepared_xacts x where x.database = current_database()
    union all
    select 'slot', s.slot_name, null, greatest(age(s.xmin), age(s.catalog_xmin))
    from pg_replication_slots s where s.xmin is not null or s.catalog_xmin is not null
)
select
    (select jsonb_agg(to_jsonb(q) order by q.name) from queues q) as queues,
    (select jsonb_agg(jsonb_build_object('id', w.id, 'host', w.host, 'draining', w.draining,
                                         'silent_s', extract(epoch from now() - w.beaten_at)::float8))
     from headrace.worker w) as workers,
    (select jsonb_agg(to_jsonb(l)) from (
        select l.worker_id as id, l.host, l.pid, extract(epoch from now() - l.lost_at)::float8 as lost_s_ago
        from headrace.lost_worker l where l.lost_at > now() - interval '1 hour' order by l.lost_at desc limit 100) l) as lost_workers,
    (select jsonb_agg(jsonb_build_object('name', m.name, 'state', coalesce(m.forced, g.state, 'closed')))
     from headrace.flow_limit m left join headrace.flow_gate g on g.limit_id = m.id and g.key = ''
     where m.kind = 'breaker' and m.enabled) as breakers,
    (select jsonb_agg(jsonb_build_object('name', m.name, 'bound', m.bound, 'used', g.used, 'keys', g.keys))
     from headrace.flow_limit m
     cross join lateral (select coalesce(sum(x.held), 0) as used, count(*) filter (where x.held > 0) as keys
                         from headrace.flow_gate x where x.limit_id = m.id) g
     where m.kind = 'concurrency' and m.enabled) as limits,
    (select jsonb_build_object(
        'overdue', count(*), 'lateness_s', coalesce(extract(epoch from now() - min(d.next_due)), 0)::float8,
        'latest', (array_agg(d.schedule order by d.next_due))[1])
     from headrace.schedule_due d where d.next_due <= now()) as schedules,
    (select jsonb_agg(to_jsonb(t)) from (
        select t.schedule, count(*) as ticks, max(t.outcome) as outcome
        from headrace.tick t
        where t.fired_at > now() - interval '1 hour' and t.outcome in ('missed', 'refused') and t.cause = 'due'
        group by t.schedule order by 2 desc limit 100) t) as missed,
    (select jsonb_agg(to_jsonb(h) order by h.transactions desc nulls last) from holders h) as holders,
    (select jsonb_object_agg(c.state, c.connections) from (
        select coalesce(a.state, 'hidden') as state, count(*) as connections
        from pg_stat_activity a where a.backend_type = 'client backend' or a.backend_type is null group by 1) c) as connections,
    current_setting('max_connections')::integer as max_connections,
    (select jsonb_agg(jsonb_build_object('name', s.relname, 'dead', s.n_dead_tup, 'live', s.n_live_tup,
                                         'bytes', pg_total_relation_size(s.relid)))
     from pg_stat_all_tables s
     where s.relid in ('headrace.job'::regclass, 'headrace.worker'::regclass, 'headrace.schedule_due'::regclass,
                       'headrace.flow_gate'::regclass)) as tables
