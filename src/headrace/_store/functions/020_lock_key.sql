-- The first half of every advisory lock key: different for every schema of a database.
create or replace function headrace.lock_key() returns integer
language sql stable parallel safe
as $$
    select ('headrace.job'::regclass::oid::bigint % 2147483647)::integer
$$;
