-- The day partitions there are, with their parent, day, and the age at which all of one may go (null: payload, which goes
-- when nothing refers to it; steps go when both are so).
create or replace function headrace.list_partitions() returns table (name text, parent text, day date, keep interval)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select c.relname, p.relname, to_date(right(c.relname, 8), 'YYYYMMDD'),
           case when p.relname like 'job\_history\_%' then headrace.class_age(substr(p.relname, 13)::headrace.retention)
                when p.relname in ('attempt', 'job_log', 'step') then headrace.class_age('long') end
    from pg_inherits i
    join pg_class c on c.oid = i.inhrelid
    join pg_class p on p.oid = i.inhparent
    join pg_namespace n on n.oid = p.relnamespace and n.oid = (select relnamespace from pg_class where oid = 'headrace.job'::regclass)
    where p.relname in ('job_history_short', 'job_history_normal', 'job_history_long', 'attempt', 'job_log', 'payload', 'step')
$$;
