-- Partitions that may be out of retention.
select l.name from headrace.list_partitions() l
where l.day + 1 + coalesce(l.keep, interval '1 day') <= coalesce(%(now)s::timestamptz, now()) at time zone 'utc'
order by l.day
