-- What a schedule, or one of its tenants, is set to, and what its task keeps secret.
select to_jsonb(s) - array['created_at', 'declared'] || coalesce(d.own, '{}'), s.task, t.name is not null as known, t.secrets
from headrace.schedule s
left join lateral (
    select jsonb_strip_nulls(jsonb_build_object('skip_next', x.skip_next, 'tenant_paused_at', x.paused_at)) as own
    from headrace.schedule_due x
    where x.schedule = s.name and x.tenant = coalesce(%(tenant)s::text, '')) d on true
left join headrace.task t on t.name = s.task or s.task = any(t.aliases)
where s.name = %(name)s
