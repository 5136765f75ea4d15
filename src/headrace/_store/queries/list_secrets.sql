-- What the registered tasks keep secret.
select t.name, coalesce(t.aliases, '{}') as aliases, t.secrets from headrace.task t
