-- The group of failures that an error belongs to: twelve digits made of the exception's type and its place. What is no exception
-- (a time-out, a lost worker) counts by its kind and task.
create or replace function headrace.failure_of(error jsonb, task text) returns text
language sql immutable parallel safe
as $$
    select left(md5(coalesce(error ->> 'type', error ->> 'kind', '') || ' at ' || coalesce(headrace.error_place(error), task)), 12)
$$;
