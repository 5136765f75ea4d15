-- Somebody chooses a password by a link, which counts once. Answers the user's name.
with link as (
    delete from headrace.access_link l
    where l.digest = %(digest)s and l.expires_at > now()
      and (l.user_name is not null or not exists (select from headrace.access_user))
    returning l.user_name
), made as (
    insert into headrace.access_user as u (name, password, role, created_by)
    select %(name)s, %(password)s, 'admin', 'first login'
    from link l where l.user_name is null
    on conflict do nothing
    returning u.name
), changed as (
    update headrace.access_user u set password = %(password)s from link l where u.name = l.user_name returning u.name
), signed_out as (
    delete from headrace.access_session s using changed c where s.user_name = c.name
)
select name from made union all select name from changed
