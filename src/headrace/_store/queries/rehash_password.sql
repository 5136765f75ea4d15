-- The same password, kept with today's parameters.
update headrace.access_user u set password = %(password)s where u.name = %(name)s and u.password = %(was)s
