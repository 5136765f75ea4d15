select u.name, u.role, u.tenant, u.created_at, u.created_by, u.signed_in_at, u.password is not null as has_password,
       (select count(*) from headrace.access_session s where s.user_name = u.name) as sessions
from headrace.access_user u
order by lower(u.name)
