insert into headrace.operation (action, settings, filter, ids, tenant, started_by, starts_at, estimate)
values (%(action)s, %(settings)s::text::jsonb, %(filter)s, %(ids)s::uuid[], %(tenant)s, %(by)s,
        now() + make_interval(secs => %(undo_s)s), %(estimate)s)
returning id
