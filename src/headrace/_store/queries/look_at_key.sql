-- A key as the audit log shows it.
select jsonb_strip_nulls(jsonb_build_object(
    'prefix', k.prefix, 'name', k.name, 'role', k.role, 'tenant', k.tenant, 'expires_at', k.expires_at, 'revoked_at', k.revoked_at))
from headrace.access_key k
where k.name = %(name)s or k.prefix = %(name)s
order by k.created_at desc limit 1
