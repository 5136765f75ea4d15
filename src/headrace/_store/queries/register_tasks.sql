insert into headrace.task as t (
    name, queue, priority, max_attempts, succeeded_age, succeeded_count, failed_age, failed_count, cancelled_age,
    cancelled_count, aliases, secrets)
select name, queue, priority, max_attempts, make_interval(secs => succeeded_age_s), succeeded_count,
       make_interval(secs => failed_age_s), failed_count, make_interval(secs => cancelled_age_s), cancelled_count,
       aliases, secrets
from jsonb_to_recordset(%(tasks)s::text::jsonb) as r(
    name text, queue text, priority smallint, max_attempts smallint, succeeded_age_s float8, succeeded_count integer,
    failed_age_s float8, failed_count integer, cancelled_age_s float8, cancelled_count integer, aliases text[], secrets jsonb)
order by name
on conflict (name) do update
set queue = excluded.queue, priority = excluded.priority, max_attempts = excluded.max_attempts,
    succeeded_age = excluded.succeeded_age, succeeded_count = excluded.succeeded_count,
    failed_age = excluded.failed_age, failed_count = excluded.failed_count,
    cancelled_age = excluded.cancelled_age, cancelled_count = excluded.cancelled_count,
    aliases = excluded.aliases, secrets = excluded.secrets, registered_at = now()
