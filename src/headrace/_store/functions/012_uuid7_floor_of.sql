-- The earliest moment at which any of these jobs can have finished. One immutable call, so that it is known when a query is
-- planned: partitions that are left out only when it runs have cost their planning.
create or replace function headrace.uuid7_floor_of(ids uuid[]) returns timestamptz
language sql immutable strict parallel safe
as $$
    select min(headrace.uuid7_floor(i)) from unnest(ids) i
$$;
