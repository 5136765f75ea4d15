-- Where a delivery goes, and what it is signed with.
select w.url, w.enabled, s.secret, case when s.previous_until > now() then s.previous end as previous
from headrace.webhook w join headrace.webhook_secret s on s.name = w.name
where w.name = %(name)s
