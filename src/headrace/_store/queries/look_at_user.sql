-- A user as the audit log shows it.
select jsonb_strip_nulls(jsonb_build_object(
    'name', u.name, 'role', u.role, 'tenant', u.tenant, 'has_password', u.password is not null))
from headrace.access_user u where lower(u.name) = lower(%(name)s)
