-- Jobs that came to a lane when their queue had just stopped to be a limited one: it is one again, until they have left it.
with recursive line as (
    (select j.queue from headrace.job j
     where j.position is not null and j.suspicion = 0 and j.lane is not null
     order by j.queue, j.lane, (-j.priority::integer), j.position limit 1)
    union all
    select n.queue
    from line l
    cross join lateral (
        select j.queue from headrace.job j
        where j.queue > l.queue and j.position is not null and j.suspicion = 0 and j.lane is not null
        order by j.queue, j.lane, (-j.priority::integer), j.position limit 1) n
)
insert into headrace.flow_queue (queue)
select l.queue from line l
where not exists (select from headrace.flow_queue f where f.queue = l.queue)
  and (select true from headrace.job j
       where j.queue = l.queue and j.position is not null and j.suspicion = 0 and j.lane is not null and j.state = 'queued'
       order by j.lane, (-j.priority::integer), j.position limit 1)
on conflict do nothing
