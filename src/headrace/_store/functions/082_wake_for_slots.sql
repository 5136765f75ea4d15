-- Slots that are free again may be what jobs of these queues wait for.
create or replace function headrace.wake_for_slots() returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    perform headrace.wake_queues(new.queues);
    return null;
end
$$;
drop trigger if exists flow_release_wake on headrace.flow_release;
create trigger flow_release_wake after insert on headrace.flow_release
    for each row execute function headrace.wake_for_slots();
