-- What keeps us from making a schema here, and which ones earlier benches have left behind.
select current_database()::text as database, current_user::text as role,
       pg_is_in_recovery() or current_setting('transaction_read_only') = 'on' as only_reads,
       has_database_privilege(current_database(), 'create') as may_create,
       array(select n.nspname::text from pg_namespace n where n.nspname ~ '^headrace_bench_[0-9a-f]{8}$') as leftovers
