select queue, reason, paused_at, paused_by, until from headrace.pause where until is null or until > now() order by queue
