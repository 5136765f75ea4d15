select headrace.roll_up(%(kind)s::integer, make_interval(secs => %(period_s)s::float8), make_interval(secs => %(margin_s)s::float8),
                        make_interval(secs => %(budget_s)s::float8), %(now)s::timestamptz)
