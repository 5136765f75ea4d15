-- The tables, columns, views, sequences, indexes and triggers of a schema, in words, without its name; not those of day partitions.
with relation as (
    select c.oid, c.relname, c.relkind
    from pg_class c
    where c.relnamespace = %(schema)s::regnamespace and not c.relispartition
)
select case r.relkind when 'v' then 'view' when 'S' then 'sequence' when 'i' then 'index' when 'I' then 'index' else 'table' end
       || ' ' || r.relname
from relation r where r.relkind in ('r', 'p', 'v', 'S', 'i', 'I')
union all
select 'column ' || r.relname || '.' || a.attname || ' '
       || replace(format_type(a.atttypid, a.atttypmod), %(schema)s || '.', '')
from relation r join pg_attribute a on a.attrelid = r.oid and a.attnum > 0 and not a.attisdropped
where r.relkind in ('r', 'p', 'v')
union all
select 'trigger ' || t.tgname || ' of table ' || r.relname
from relation r join pg_trigger t on t.tgrelid = r.oid and not t.tgisinternal
