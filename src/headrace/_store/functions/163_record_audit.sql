-- Adds one action to the audit log; the only way to do so. Time and number are the database's. Answers its number.
create or replace function headrace.record_audit(
    by text, source text, address text, action text, kind text, targets text[], count bigint, before jsonb, after jsonb
) returns bigint
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
    entry bigint := nextval('headrace.audit_number');
begin
    for attempt in 1..2 loop
        begin
            insert into headrace.audit (id, at, by, source, address, action, kind, targets, count, before, after)
            values (entry, clock_timestamp(), by, source, address, action, kind, targets[1:1000], count, before, after);
            return entry;
        exception when check_violation then -- no partition: no worker has made one for weeks
            if attempt = 2 then
                raise;
            end if;
            perform headrace.create_audit_partitions((now() at time zone 'utc')::date, (now() at time zone 'utc')::date + 1);
        end;
    end loop;
end
$$;
