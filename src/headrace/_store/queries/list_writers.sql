-- Transactions that have written to the job table and not ended: what they add is not visible yet. Readers and writers of other
-- tables are not among them. Everybody may look at pg_locks.
select coalesce(array_agg(l.virtualtransaction), '{}')
from pg_locks l
where l.locktype = 'relation' and l.relation = 'headrace.job'::regclass and l.mode = 'RowExclusiveLock' and l.granted
  and l.database = (select d.oid from pg_database d where d.datname = current_database())
  and l.pid is distinct from pg_backend_pid()
