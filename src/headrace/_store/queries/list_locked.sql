-- Those of these jobs whose rows somebody holds: an operator's or a caller's open transaction.
with free as (
    select j.id from headrace.job j
    where j.id = any(%(ids)s::uuid[])
    for update skip locked
)
select j.id::text from headrace.job j
where j.id = any(%(ids)s::uuid[]) and j.id not in (select f.id from free f)
