select headrace.create_partitions(%(first_day)s::date, %(last_day)s::date)
