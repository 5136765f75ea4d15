-- Schedules, or one, with what is next of them (for those that are per tenant: of the tenant that comes first).
select s.name, s.task, s.args, s.queue, s.priority, s.tenant, s.tags, s.cron, s.every, s.at, s.timezone, s.start_at, s.end_at,
       s.jitter, s.catch_up, s.catch_up_limit, s.overlap, s.per_tenant, s.enabled, s.paused_at, s.paused_by, s.paused_reason,
       s.declared, s.edited_at, s.edited_by, s.created_at,
       d.next_due, d.skip_next, d.problem, d.tenants, t.last
from headrace.schedule s
cross join lateral (
    select min(x.next_due) filter (where x.next_nominal is not null) as next_due, coalesce(bool_and(x.skip_next), false) as skip_next,
           min(x.problem) as problem, count(*) filter (where x.tenant <> '') as tenants
    from headrace.schedule_due x where x.schedule = s.name) d
left join lateral (
    select jsonb_build_object('due_at', l.due_at, 'outcome', l.outcome, 'job_id', l.job_id) as last
    from headrace.tick l where l.schedule = s.name order by l.due_at desc limit 1) t on true
where %(name)s::text is null or s.name = %(name)s
order by s.name
