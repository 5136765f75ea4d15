-- Indexes of the tables that are not partitioned (those of days are dropped with them), and a hint of how large each would be if it were
-- new: 40 bytes an entry, which is more than most have.
select i.relname::text as name, t.relname::text as table_name, pg_relation_size(i.oid) as bytes, x.indisvalid as valid,
       greatest(i.reltuples, 0)::bigint as entries, 8192 + 40 * greatest(i.reltuples, 0)::bigint as new_bytes,
       coalesce(s.idx_scan, 0) as scans
from pg_index x
join pg_class i on i.oid = x.indexrelid
join pg_class t on t.oid = x.indrelid
left join pg_stat_all_indexes s on s.indexrelid = i.oid
where t.relnamespace = (select c.relnamespace from pg_class c where c.oid = 'headrace.job'::regclass)
  and i.relkind = 'i' and not i.relispartition
order by pg_relation_size(i.oid) desc, i.relname
