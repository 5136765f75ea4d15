insert into headrace.schema_version (version, name, checksum)
values (%(version)s, %(name)s, %(checksum)s)
on conflict (version) do update set name = excluded.name, checksum = excluded.checksum, applied_at = now()
