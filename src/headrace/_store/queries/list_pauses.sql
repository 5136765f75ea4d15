select queue, reason, paused_at, until from headrace.pause where until is null or until > now() order by queue
