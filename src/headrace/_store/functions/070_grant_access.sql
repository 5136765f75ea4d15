-- Gives an existing role what it needs and no more: 'worker' (runs jobs), 'enqueuer' (adds jobs and events, sees none), 'viewer'
-- (reads), 'web' (what workers may, and knowing who is who: for `headrace serve`). Nobody changes the audit log. Only the schema's
-- owner may call it, and again after a migration that adds tables or functions.
create or replace function headrace.grant_access(role name, access text) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    part name;
    schema name := (select relnamespace::regnamespace from pg_class where oid = 'headrace.job'::regclass);
begin
    execute format('grant usage on schema %I to %I', schema, role);
    case access
    when 'worker', 'web' then
        execute format('grant select, insert, update, delete on all tables in schema %I to %I', schema, role);
        execute format('grant usage, select on all sequences in schema %I to %I', schema, role);
        execute format('grant execute on all functions in schema %I to %I', schema, role);
        execute format('revoke insert, update, delete on headrace.audit from %I', role);
        for part in select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid
                    where i.inhparent = 'headrace.audit'::regclass
        loop
            execute format('revoke insert, update, delete on headrace.%I from %I', part, role);
        end loop;
    when 'enqueuer' then
        execute format('grant execute on function headrace.enqueue, headrace.enqueue_jobs, headrace.emit, headrace.start_workflow, '
                       'headrace.add_to_workflow to %I', role);
    when 'viewer' then
        execute format('grant select on all tables in schema %I to %I', schema, role);
        execute format('grant execute on function headrace.uuid7_floor, headrace.uuid7_floor_of, headrace.lane_of, headrace.rate_ahead, '
                       'headrace.find_args, headrace.failure_of, headrace.error_place to %I', role);
    else
        raise exception using errcode = 'HR003',
            message = format('access must be worker, web, enqueuer or viewer, not "%s"', access);
    end case;
    if access = 'viewer' then
        execute format('revoke all on headrace.webhook_secret from %I', role);
    end if;
    if access in ('worker', 'viewer') then
        execute format('revoke all on headrace.access_user, headrace.access_key, headrace.access_session, headrace.access_link, '
                       'headrace.access_try from %I', role);
    end if;
end
$$;
