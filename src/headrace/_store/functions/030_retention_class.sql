-- The class whose partitions live long enough for this age; what is tighter is deleted in small batches. The names are cast
-- one by one, as constants: a cast of the result would keep PostgreSQL from inlining this, and cost each settled job 20 µs.
create or replace function headrace.retention_class(age interval) returns headrace.retention
language sql immutable parallel safe
as $$
    select case when age <= interval '1 day' then 'short'::headrace.retention
                when age <= interval '7 days' then 'normal'::headrace.retention
                else 'long'::headrace.retention end
$$;
