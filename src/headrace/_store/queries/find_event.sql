select name, payload, emitted_at, expires_at from headrace.event where name = %(event)s::text
