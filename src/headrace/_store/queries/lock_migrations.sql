-- One migration at a time in this database; the lock is the transaction's.
select pg_advisory_xact_lock(%(lock)s)
