-- When somebody was last seen; once a minute, whoever asks.
update headrace.access_session s set seen_at = now()
where s.digest = %(digest)s and s.seen_at < now() - interval '1 minute'
