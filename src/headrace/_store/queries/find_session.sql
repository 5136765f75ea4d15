-- Who is signed in with this, and whether that they were seen is to be written.
select u.name, u.role, u.tenant, s.seen_at < n.now - interval '1 minute' as is_stale
from (select coalesce(%(now)s::timestamptz, now()) as now) n
cross join headrace.access_session s
join headrace.access_user u on u.name = s.user_name
where s.digest = %(digest)s
  and s.seen_at > n.now - make_interval(secs => %(idle_s)s::float8)
  and s.created_at > n.now - make_interval(secs => %(absolute_s)s::float8)
