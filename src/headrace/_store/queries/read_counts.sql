-- What ended, for each span of `bin`: the counts.
select date_bin(make_interval(secs => %(bin_s)s::float8), r.start_at, '2000-01-01 00:00:00+00') as at,
       sum(r.started)::bigint as started, sum(r.succeeded)::bigint as succeeded, sum(r.failed)::bigint as failed,
       sum(r.cancelled)::bigint as cancelled, sum(r.retried)::bigint as retried, sum(r.rescued)::bigint as rescued
from headrace.rollup r
where r.step = %(step)s and r.scope = %(scope)s and r.start_at >= %(since)s::timestamptz and r.start_at < %(until)s::timestamptz
  and (%(queue)s::text is null or r.queue = %(queue)s::text) and r.task = %(task)s::text
group by 1
order by 1
