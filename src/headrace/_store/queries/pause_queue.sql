-- No job of this queue ('': of any) is claimed from now on.
insert into headrace.pause as p (queue, reason, paused_by, until)
values (%(queue)s, %(reason)s::text, %(by)s::text, coalesce(%(until)s::timestamptz, now() + make_interval(secs => %(for_s)s::float8)))
on conflict (queue) do update set reason = excluded.reason, paused_by = excluded.paused_by, until = excluded.until, paused_at = now()
