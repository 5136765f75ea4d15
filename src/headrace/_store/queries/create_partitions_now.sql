-- The days around now, when a settle found one missing.
select headrace.create_partitions((now() at time zone 'utc')::date - 1, (now() at time zone 'utc')::date + 1)
