-- Removes a limit; one that code declares stays removed until it is set again. Answers whether there was one.
create or replace function headrace.remove_limit(name text) returns boolean
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    if exists (select from headrace.flow_limit m where m.name = remove_limit.name and m.declared) then
        update headrace.flow_limit m set enabled = false, edited = true where m.name = remove_limit.name and m.enabled;
    else
        delete from headrace.flow_limit m where m.name = remove_limit.name;
    end if;
    if not found then
        return false;
    end if;
    perform headrace.wake_queues(array(select f.queue from headrace.flow_queue f));
    return true;
end
$$;
