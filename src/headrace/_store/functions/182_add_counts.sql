-- Two histograms as one.
create or replace function headrace.add_counts(one integer[], other integer[]) returns integer[]
language sql immutable parallel safe
as $$
    select array_agg(a.n + b.n order by a.bucket)
    from unnest(one) with ordinality as a(n, bucket) join unnest(other) with ordinality as b(n, bucket) on b.bucket = a.bucket
$$;
