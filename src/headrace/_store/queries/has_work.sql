-- Whether any job of these queues is queued, or runs under a lease.
select exists (
    select from unnest(%(queues)s::text[]) as q(name)
    where exists (select from headrace.job j
                  where j.queue = q.name and j.position is not null and j.suspicion = 0)
       or exists (select from headrace.job j
                  where j.queue = q.name and j.position is not null and j.suspicion > 0))
