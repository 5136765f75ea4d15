-- The histogram of waits or runs, for each span of `bin`; its 64 buckets are those of bucket_of.
select b.at, array_agg(b.n order by b.bucket) as counts
from (select date_bin(make_interval(secs => %(bin_s)s::float8), r.start_at, '2000-01-01 00:00:00+00') as at, c.bucket,
             sum(c.n)::bigint as n
      from headrace.rollup r
      cross join lateral unnest(case %(measure)s::text when 'wait' then r.waits else r.runs end) with ordinality as c(n, bucket)
      where r.step = %(step)s and r.scope = %(scope)s
        and r.start_at >= %(since)s::timestamptz and r.start_at < %(until)s::timestamptz
        and (%(queue)s::text is null or r.queue = %(queue)s::text) and r.task = %(task)s::text
      group by 1, 2) b
group by b.at
order by b.at
