-- Creates the months (UTC) of the audit log that are missing from one day to another. For LIKE and ATTACH see create_partitions.
create or replace function headrace.create_audit_partitions(first_day date, last_day date) returns integer
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '5s'
as $$
declare
    month date;
    name text;
    made integer := 0;
begin
    for month in
        select m::date from generate_series(date_trunc('month', first_day::timestamp), last_day::timestamp, interval '1 month') m
    loop
        name := format('audit_%s', to_char(month, 'YYYYMM'));
        continue when to_regclass(format('headrace.%I', name)) is not null;
        execute format('create table headrace.%I (like headrace.audit including defaults including constraints)', name);
        execute format('alter table headrace.audit attach partition headrace.%I for values from (%L) to (%L)', name,
                       month::text || ' 00:00:00+00', (month + interval '1 month')::date::text || ' 00:00:00+00');
        made := made + 1;
    end loop;
    return made;
end
$$;
