-- Replication slots, and how much of the log each keeps.
select s.slot_name::text as name, s.slot_type as kind, s.active, s.wal_status,
       case when not pg_is_in_recovery() then pg_wal_lsn_diff(pg_current_wal_lsn(), s.restart_lsn)::bigint end as kept_bytes
from pg_replication_slots s
order by s.slot_name
