-- A user, unless there is one of the name.
insert into headrace.access_user as u (name, password, role, tenant, created_by)
values (%(name)s, %(password)s::text, %(role)s, %(tenant)s::text, %(by)s)
on conflict do nothing
returning u.name
