-- Whether any job of these queues is queued, or runs under a lease; or a workflow is about to go on. What is paused does not
-- count: nobody may claim it. In the order of the index, so that it is used whatever the statistics say.
select coalesce(bool_or(
    coalesce((select true from headrace.job j
              where j.queue = q.name and j.position is not null and j.suspicion = 0 and j.lane is null
              order by j.priority desc, j.position limit 1),
             (select true from headrace.job j
              where j.queue = q.name and j.position is not null and j.suspicion = 0 and j.lane is not null
              order by j.lane, -j.priority::integer, j.position limit 1),
             (select true from headrace.job j
              where j.queue = q.name and j.position is not null and j.suspicion > 0
              order by j.priority desc, j.position limit 1))), false)
    or (select true from headrace.workflow_change c order by c.at limit 1) is not null
from unnest(%(queues)s::text[]) as q(name)
where not exists (select from headrace.pause p where p.queue in ('', q.name) and (p.until is null or p.until > now()))
