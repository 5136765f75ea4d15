-- Somebody signs in.
with signed_in as (
    update headrace.access_user u set signed_in_at = now() where u.name = %(name)s returning u.name
)
insert into headrace.access_session (digest, user_name, address)
select %(digest)s, i.name, %(address)s::text from signed_in i
returning user_name
