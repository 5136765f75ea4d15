-- Makes a webhook, or changes it; answers its name and whether it is new. A new one gets the secret.
with kept as (
    insert into headrace.webhook as w (name, url, tasks, states, tenant, enabled)
    values (%(name)s, %(url)s, %(tasks)s::text[], %(states)s::text[]::headrace.job_state[], %(tenant)s::text, %(enabled)s)
    on conflict (name) do update
    set url = excluded.url, tasks = excluded.tasks, states = excluded.states, tenant = excluded.tenant,
        enabled = excluded.enabled, disabled_reason = null
    returning w.name
), signed as (
    insert into headrace.webhook_secret (name, secret) select k.name, %(secret)s from kept k
    on conflict (name) do nothing
    returning name
)
select k.name, s.name is not null as created from kept k left join signed s on s.name = k.name
