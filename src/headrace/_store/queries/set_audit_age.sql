-- How long the audit log is kept.
update headrace.instance set audit_age = make_interval(secs => %(seconds)s::float8) returning true
