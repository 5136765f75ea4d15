-- The days for which each table that is partitioned by day has a partition: how many, the first and last, and which of the next `days` are missing.
select p.relname::text as table_name, count(c.oid)::integer as parts, min(d.day) as first_day, max(d.day) as last_day,
       array(select n::date from generate_series((now() at time zone 'utc')::date, (now() at time zone 'utc')::date + %(days)s::integer,
                                                 interval '1 day') n
             where to_regclass(format('headrace.%%I', p.relname || '_' || to_char(n, 'YYYYMMDD'))) is null
             order by n) as missing
from pg_class p
left join pg_inherits i on i.inhparent = p.oid
left join pg_class c on c.oid = i.inhrelid
left join lateral (
    select case when c.relname ~ '_[0-9]{8}$' then to_date(right(c.relname, 8), 'YYYYMMDD') end as day) d on true
where p.relkind = 'p' and p.relname <> 'job_history'
  and not exists (select from pg_inherits o join pg_class m on m.oid = o.inhrelid
                  where o.inhparent = p.oid and m.relname !~ '_[0-9]{8}$')
  and p.relnamespace = (select t.relnamespace from pg_class t where t.oid = 'headrace.job'::regclass)
group by p.relname
order by p.relname
