-- Of the applied migrations, oldest first.
select checksum from headrace.schema_version where version > 0 order by version
