-- How many jobs wait for an event.
select count(*) from headrace.job j where j.blocked_by = 'event:' || %(event)s::text
