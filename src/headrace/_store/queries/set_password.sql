-- Another password; whoever is signed in with the old one is signed out, and links to choose one are void.
with changed as (
    update headrace.access_user u set password = %(password)s where lower(u.name) = lower(%(name)s) returning u.name
), signed_out as (
    delete from headrace.access_session s using changed c where s.user_name = c.name
), void as (
    delete from headrace.access_link l using changed c where l.user_name = c.name
)
select c.name from changed c
