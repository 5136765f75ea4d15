-- A user, with sessions and links.
delete from headrace.access_user u where lower(u.name) = lower(%(name)s) returning u.name
