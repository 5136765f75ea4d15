-- Gives a webhook another secret; the one before signs beside it for a while.
update headrace.webhook_secret s
set secret = %(secret)s, previous = s.secret, previous_until = now() + make_interval(secs => %(seconds)s::float8)
where s.name = %(name)s
returning s.name
