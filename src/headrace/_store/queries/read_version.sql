select coalesce(max(version), 0) from headrace.schema_version
