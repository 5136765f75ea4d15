-- How much write-ahead log this server has written, in bytes. Not everybody may ask, and a standby cannot say.
select (pg_current_wal_insert_lsn() - '0/0')::float8
