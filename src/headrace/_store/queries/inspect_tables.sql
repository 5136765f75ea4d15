-- The schema's tables, with their partitions added up: rows, dead rows, sizes, and when they were vacuumed last.
with member as (
    select coalesce((select p.relname from pg_inherits i join pg_inherits o on o.inhrelid = i.inhparent join pg_class p on p.oid = o.inhparent
                     where i.inhrelid = c.oid),
                    (select p.relname from pg_inherits i join pg_class p on p.oid = i.inhparent where i.inhrelid = c.oid),
                    c.relname)::text as name,
           c.oid
    from pg_class c
    where c.relnamespace = (select t.relnamespace from pg_class t where t.oid = 'headrace.job'::regclass) and c.relkind = 'r'
)
select m.name, count(*)::integer as parts, coalesce(sum(s.n_live_tup), 0)::bigint as live_rows,
       coalesce(sum(s.n_dead_tup), 0)::bigint as dead_rows,
       sum(pg_table_size(m.oid))::bigint as table_bytes, sum(pg_indexes_size(m.oid))::bigint as index_bytes,
       max(greatest(s.last_vacuum, s.last_autovacuum)) as vacuumed_at, max(greatest(s.last_analyze, s.last_autoanalyze)) as analyzed_at
from member m
left join pg_stat_all_tables s on s.relid = m.oid
group by m.name
order by sum(pg_total_relation_size(m.oid)) desc, m.name
