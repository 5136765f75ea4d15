-- The class whose partitions live long enough for this age; what is tighter is deleted in small batches.
create or replace function headrace.retention_class(age interval) returns headrace.retention
language sql immutable parallel safe
as $$
    select (case when age <= interval '1 day' then 'short'
                 when age <= interval '7 days' then 'normal'
                 else 'long' end)::headrace.retention
$$;
