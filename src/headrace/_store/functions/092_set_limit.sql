-- Adds a limit, or changes the one of this name; of two limits that differ in more than numbers the new one starts to count anew.
-- What code declares does not change what an operator has set or removed. Jobs that wait follow at the next claim.
create or replace function headrace.set_limit(
    name text, kind text, queue text, tasks text[], key text, bound integer, span interval, burst integer, settings jsonb,
    by_code boolean default false, at_moment timestamptz default null
) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    old headrace.flow_limit;
    moment constant timestamptz := coalesce(at_moment, clock_timestamp());
begin
    insert into headrace.flow_limit (name, kind, queue, tasks, key, bound, span, burst, settings, declared, edited, changed_at)
    values (set_limit.name, set_limit.kind, set_limit.queue, set_limit.tasks, set_limit.key, set_limit.bound, set_limit.span,
            set_limit.burst, set_limit.settings, by_code, not by_code, moment)
    on conflict (name) do nothing;
    select * into old from headrace.flow_limit m where m.name = set_limit.name for update;
    if by_code and old.edited then
        update headrace.flow_limit m set declared = true where m.id = old.id and not m.declared;
        return;
    end if;
    if (old.kind, old.queue, old.key) is not distinct from (kind, queue, key) then
        update headrace.flow_limit m
        set tasks = set_limit.tasks, bound = set_limit.bound, span = set_limit.span, burst = set_limit.burst,
            settings = set_limit.settings, declared = m.declared or by_code, edited = not by_code, enabled = true,
            changed_at = case when (m.bound, m.span) = (set_limit.bound, set_limit.span) then m.changed_at else moment end
        where m.id = old.id
          and (m.tasks, m.bound, m.span, m.burst, m.settings, m.declared, m.edited, m.enabled) is distinct from
              (set_limit.tasks, set_limit.bound, set_limit.span, set_limit.burst, set_limit.settings, m.declared or by_code,
               not by_code, true);
    else
        delete from headrace.flow_limit m where m.id = old.id;
        insert into headrace.flow_limit (name, kind, queue, tasks, key, bound, span, burst, settings, declared, edited, changed_at)
        values (set_limit.name, set_limit.kind, set_limit.queue, set_limit.tasks, set_limit.key, set_limit.bound, set_limit.span,
                set_limit.burst, set_limit.settings, by_code or old.declared, not by_code,
                moment);
    end if;
    insert into headrace.flow_queue (queue)
    select q from (select set_limit.queue as q union select t.queue from headrace.task t where t.name = any(set_limit.tasks)) n
    where q is not null
    on conflict do nothing;
    perform headrace.wake_queues(array(select f.queue from headrace.flow_queue f));
end
$$;
