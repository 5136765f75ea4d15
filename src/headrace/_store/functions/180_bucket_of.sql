-- Which of 64 buckets a duration is counted in. Bucket 0 is less than a millisecond; bucket n is from 2^((n - 1) / 2) to 2^(n / 2)
-- milliseconds, so that what is read back, the geometric middle, is within 19 % of the truth; the last one is everything from 24.8 days on.
create or replace function headrace.bucket_of(seconds double precision) returns integer
language sql immutable parallel safe
as $$
    select case when seconds < 0.001 then 0 else least(63, 1 + floor(2 * ln(seconds * 1000) / ln(2::double precision)))::integer end
$$;
