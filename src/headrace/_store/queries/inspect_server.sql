-- The server, its settings and how full it is. What the role may not read is null.
select current_setting('server_version') as version, current_setting('server_version_num')::integer as version_number, now() as now,
       pg_is_in_recovery() as in_recovery, current_setting('fsync') as fsync,
       current_setting('synchronous_commit') as synchronous_commit, current_setting('full_page_writes') as full_page_writes,
       current_setting('autovacuum') as autovacuum, current_setting('track_counts') as track_counts,
       current_setting('max_connections')::integer as max_connections,
       current_setting('superuser_reserved_connections')::integer as reserved_connections,
       (select count(*) from pg_stat_activity a where a.datid is not null)::integer as connections,
       pg_notification_queue_usage() as notify_queue_share, pg_postmaster_start_time() as started_at,
       pg_database_size(current_database()) as database_bytes,
       (select age(d.datfrozenxid) from pg_database d where d.datname = current_database()) as frozen_age,
       pg_has_role(current_user, 'pg_read_all_stats', 'member') as sees_all
