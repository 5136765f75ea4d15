-- What the audit log's trigger runs: nothing in it is changed or deleted, whoever tries. Whole months are dropped instead.
create or replace function headrace.keep_audit() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    raise exception using errcode = 'HR005',
        message = 'the audit log is only added to: nothing in it can be changed or deleted';
end
$$;
create or replace trigger keep before update or delete on headrace.audit
    for each row execute function headrace.keep_audit();
