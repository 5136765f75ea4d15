select to_regclass('headrace.schema_version') is not null
