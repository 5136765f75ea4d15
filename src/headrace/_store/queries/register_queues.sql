-- Queues as code declares them; what an operator has set since stays.
insert into headrace.queue as q (name, max_queued)
select name, max_queued from jsonb_to_recordset(%(queues)s::text::jsonb) as r(name text, max_queued integer)
order by name
on conflict (name) do update set max_queued = coalesce(q.max_queued, excluded.max_queued)
