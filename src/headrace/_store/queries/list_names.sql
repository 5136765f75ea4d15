-- Names that a filter may ask for, as far as they are known without looking for them: of tasks and queues all, of tenants and
-- arguments those of the newest unfinished jobs.
with newest as (
    select j.tenant, j.args from headrace.job j
    where %(tenant)s::text is null or j.tenant = %(tenant)s::text
    order by j.id desc
    limit 200
)
select array(select t.name from headrace.task t order by t.name) as tasks,
       array(select q.name from headrace.queue q union select t.queue from headrace.task t order by 1) as queues,
       array(select distinct n.tenant from newest n where n.tenant is not null order by 1) as tenants,
       array(select distinct k from newest n cross join lateral jsonb_object_keys(n.args) k
             where jsonb_typeof(n.args) = 'object' order by 1) as arguments
