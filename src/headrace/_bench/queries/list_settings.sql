-- What of a server's settings decides how fast jobs go and how safe they are; null where a server does not know one.
select current_setting('server_version', true) as server_version,
       current_setting('fsync', true) as fsync,
       current_setting('synchronous_commit', true) as synchronous_commit,
       nullif(current_setting('synchronous_standby_names', true), '') as synchronous_standby_names,
       current_setting('full_page_writes', true) as full_page_writes,
       current_setting('max_wal_size', true) as max_wal_size,
       current_setting('shared_buffers', true) as shared_buffers,
       pg_backend_pid() as backend_pid
