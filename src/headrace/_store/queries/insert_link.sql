-- A link with which somebody chooses a password; without a name, the first administrator, as long as there is no user.
insert into headrace.access_link as l (digest, user_name, expires_at)
select %(digest)s, u.name, now() + make_interval(secs => %(lasts_s)s::float8)
from (select %(name)s::text as wanted) w
left join headrace.access_user u on lower(u.name) = lower(w.wanted)
where u.name is not null or (w.wanted is null and not exists (select from headrace.access_user))
returning coalesce(l.user_name, '')
