-- A key that counts, and whether its last use is to be written.
select k.digest, k.name, k.role, k.tenant, coalesce(k.used_at < now() - interval '1 minute', true) as is_stale
from headrace.access_key k
where k.prefix = %(prefix)s and k.revoked_at is null
  and (k.expires_at is null or k.expires_at > coalesce(%(now)s::timestamptz, now()))
