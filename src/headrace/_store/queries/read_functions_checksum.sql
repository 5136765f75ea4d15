select checksum from headrace.schema_version where version = 0
