-- Drops the months of the audit log all of which is older than the retention that the database says. A month that a reader holds
-- stays until the next call: nobody who records an action waits behind it for long. Answers the names of those that are gone.
create or replace function headrace.drop_audit_partitions(as_of timestamptz default now()) returns setof text
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '100ms'
as $$
declare
    name text;
    keep constant interval := (select i.audit_age from headrace.instance i);
begin
    for name in
        select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid
        where i.inhparent = 'headrace.audit'::regclass
          and (to_date(right(c.relname, 6), 'YYYYMM') + interval '1 month') at time zone 'utc' + keep <= as_of
        order by 1
    loop
        begin
            execute format('drop table headrace.%I', name);
            return next name;
        exception when lock_not_available then
            null;
        end;
    end loop;
end
$$;
