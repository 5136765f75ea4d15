-- A UUID version 7 (RFC 9562): 48 bits of Unix milliseconds, then random bits. PostgreSQL has its own only from 18 on.
create or replace function headrace.uuid7() returns uuid
language sql volatile parallel safe
set search_path = pg_catalog, pg_temp
as $$
    select encode(
        set_bit(set_bit(
            overlay(uuid_send(gen_random_uuid())
                    placing substring(int8send((extract(epoch from clock_timestamp()) * 1000)::bigint) from 3)
                    from 1 for 6),
            52, 1), 53, 1),
        'hex')::uuid
$$;
