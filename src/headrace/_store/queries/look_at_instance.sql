-- What holds for all processes that share the database.
select jsonb_build_object('audit_age_s', extract(epoch from i.audit_age)::bigint) from headrace.instance i
