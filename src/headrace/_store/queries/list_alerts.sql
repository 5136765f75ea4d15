-- What is wrong now, and how many messages about it have not been sent.
select a.rule, a.subject, a.detail, a.since, a.seen_at, a.raised_at, a.told_at,
       (select count(*) from headrace.alert_message m where m.rule = a.rule and m.subject = a.subject) as unsent
from headrace.alert a
order by a.raised_at desc nulls last, a.rule, a.subject
