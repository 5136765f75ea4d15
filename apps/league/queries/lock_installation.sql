-- Two sessions that replace the same function at once fail with "tuple concurrently updated".
select pg_advisory_xact_lock(hashtext('league'), hashtext('install'))
