-- The earliest moment at which a job with this id can have finished, for pruning history partitions: the id's own time,
-- less a day for client clocks that run ahead of the database's.
create or replace function headrace.uuid7_floor(id uuid) returns timestamptz
language sql immutable strict parallel safe
as $$
    select to_timestamp((('x' || left(replace(id::text, '-', ''), 12))::bit(48)::bigint) / 1000.0) - interval '1 day'
$$;
