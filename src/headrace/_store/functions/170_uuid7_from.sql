-- The smallest UUID version 7 of a moment: ids are in the order of their time, so what was made since is what is larger.
create or replace function headrace.uuid7_from(moment timestamptz) returns uuid
language sql immutable strict parallel safe
as $$
    select (substr(encode(int8send((extract(epoch from moment) * 1000)::bigint), 'hex'), 5) || '70008000000000000000')::uuid
$$;
