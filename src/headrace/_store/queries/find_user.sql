select u.name, u.password from headrace.access_user u where lower(u.name) = lower(%(name)s)
