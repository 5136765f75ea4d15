-- What a limit is set to.
select to_jsonb(m) - array['id', 'created_at', 'changed_at', 'reset_at'] from headrace.flow_limit m where m.name = %(name)s
