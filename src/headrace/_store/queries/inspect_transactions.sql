-- What holds the horizon of this database: its sessions and prepared transactions, and replication slots, the oldest first. Of other roles' sessions a role
-- without pg_read_all_stats sees that they are there and how old their snapshot is.
select h.kind, h.pid, h.name, h.role, h.state, h.database, h.began_at, h.query_began_at, left(h.query, 500) as query, h.transactions,
       h.hidden
from (
    select 'session' as kind, a.pid, nullif(a.application_name, '') as name, a.usename::text as role, a.state, a.datname::text as database,
           a.xact_start as began_at, a.query_start as query_began_at, a.query,
           greatest(age(a.backend_xmin), age(a.backend_xid)) as transactions, a.xact_start is null as hidden
    from pg_stat_activity a
    where a.pid <> pg_backend_pid() and (a.backend_xmin is not null or a.backend_xid is not null)
      and coalesce(a.backend_type, '') <> 'autovacuum worker' and coalesce(a.datname, current_database()) = current_database()
    union all
    select 'prepared', null, p.gid, p.owner::text, 'prepared', p.database::text, p.prepared, null, null, age(p.transaction), false
    from pg_prepared_xacts p where p.database = current_database()
    union all
    select 'slot', s.active_pid, s.slot_name::text, null, case when s.active then 'active' else 'inactive' end, s.database::text, null, null,
           null, greatest(age(s.xmin), age(s.catalog_xmin)), false
    from pg_replication_slots s
    where s.xmin is not null or s.catalog_xmin is not null) h
order by h.began_at nulls last, h.transactions desc nulls last
limit 20
