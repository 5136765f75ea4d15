select name, url, tasks, states::text[] as states, tenant, enabled, disabled_reason, created_at
from headrace.webhook
where %(name)s::text is null or name = %(name)s
order by name
