-- Somebody signs out wherever they are signed in.
with gone as (
    delete from headrace.access_session s using headrace.access_user u
    where u.name = s.user_name and lower(u.name) = lower(%(name)s) returning s.digest
)
select nullif(count(*), 0) from gone
