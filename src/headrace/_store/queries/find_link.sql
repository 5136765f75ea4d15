-- Whose link this is ('': the first administrator's), if it still counts.
select coalesce(l.user_name, '') from headrace.access_link l
where l.digest = %(digest)s and l.expires_at > coalesce(%(now)s::timestamptz, now())
  and (l.user_name is not null or not exists (select from headrace.access_user))
