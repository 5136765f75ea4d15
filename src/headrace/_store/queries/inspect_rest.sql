-- Workers that are silent, schedules that are late or cannot be planned, breakers that are open, the position sequence, and how far the
-- history is.
select (select jsonb_agg(jsonb_build_object('id', w.id, 'host', w.host, 'pid', w.pid,
                                            'silent_s', extract(epoch from now() - w.beaten_at)::float8) order by w.id)
        from headrace.worker w where w.beaten_at < now() - make_interval(secs => 2 * %(lease_s)s)) as silent,
       (select count(*) from headrace.worker w where w.beaten_at >= now() - make_interval(secs => %(lease_s)s)) as live,
       (select jsonb_agg(jsonb_build_object('schedule', s.schedule, 'tenant', s.tenant, 'due', s.next_due, 'problem', s.problem))
        from (select d.schedule, d.tenant, d.next_due, d.problem
              from headrace.schedule_due d join headrace.schedule c on c.name = d.schedule
              where c.enabled and c.paused_at is null and d.paused_at is null
                and (d.problem is not null or d.next_due < now() - interval '1 minute')
              order by d.next_due nulls first limit 20) s) as schedules,
       (select jsonb_agg(jsonb_build_object('name', m.name, 'state', coalesce(m.forced, g.state), 'forced', m.forced is not null)
                         order by m.name)
        from headrace.flow_limit m left join headrace.flow_gate g on g.limit_id = m.id and g.key = ''
        where m.kind = 'breaker' and m.enabled and coalesce(m.forced, g.state, 'closed') = 'open') as breakers,
       (select s.last_value from pg_sequences s
        where s.sequencename = 'job_position'
          and s.schemaname = (select c.relnamespace::regnamespace::name from pg_class c where c.oid = 'headrace.job'::regclass)) as last_position,
       (select l.looked_ats[1] from headrace.rollup_look l) as counted_until
