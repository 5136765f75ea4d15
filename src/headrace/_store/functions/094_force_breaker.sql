-- Holds a breaker open or closed; null lets it judge again, from closed. Answers whether there is one. Kept beside the gate, which
-- only claims change: they never wait for an operator.
create or replace function headrace.force_breaker(name text, state text) returns boolean
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    update headrace.flow_limit m
    set forced = force_breaker.state,
        reset_at = case when force_breaker.state is null then clock_timestamp() else m.reset_at end
    where m.name = force_breaker.name and m.kind = 'breaker' and m.enabled;
    if not found then
        return false;
    end if;
    perform headrace.wake_queues(array(select f.queue from headrace.flow_queue f));
    return true;
end
$$;
