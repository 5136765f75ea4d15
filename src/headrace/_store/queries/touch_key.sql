-- When a key was last used; once a minute, whoever asks.
update headrace.access_key k set used_at = now()
where k.prefix = %(prefix)s and coalesce(k.used_at < now() - interval '1 minute', true)
