-- The 64 counts of a histogram, from buckets and how many are in each.
create or replace function headrace.tally(buckets integer[], counts bigint[]) returns integer[]
language sql immutable parallel safe
as $$
    select array_agg(coalesce(c.n, 0) order by b.bucket)
    from generate_series(0, 63) as b(bucket)
    left join (select u.bucket, sum(u.n)::integer as n from unnest(buckets, counts) as u(bucket, n) group by u.bucket) c
        on c.bucket = b.bucket
$$;
