-- An operator's settings of a queue; `clear` names those that go back to "as started".
insert into headrace.queue as q (name, concurrency, max_queued)
values (%(name)s, %(concurrency)s::integer, %(max_queued)s::integer)
on conflict (name) do update
set concurrency = case when 'concurrency' = any(%(clear)s::text[]) then null
                       else coalesce(excluded.concurrency, q.concurrency) end,
    max_queued = case when 'max_queued' = any(%(clear)s::text[]) then null
                      else coalesce(excluded.max_queued, q.max_queued) end
