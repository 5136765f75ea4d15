-- A key, unless one that counts has the name.
insert into headrace.access_key as k (prefix, name, digest, role, tenant, created_by, expires_at)
values (%(prefix)s, %(name)s, %(digest)s, %(role)s, %(tenant)s::text, %(by)s, now() + make_interval(secs => %(lasts_s)s::float8))
on conflict (name) where revoked_at is null do nothing
returning k.name
