-- Whether limits apply to some of these jobs, by their tasks: their queues are limited ones from now on. Waits for nobody: a row
-- that somebody else is about to add will be there soon.
create or replace function headrace.mark_limited_queues(ids uuid[]) returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
set lock_timeout = '50ms'
as $$
declare
    limited text[];
begin
    limited := array(
        select distinct j.queue from headrace.job j
        where j.id = any(ids) and exists (select from headrace.flow_limit m where m.enabled and j.task = any(m.tasks)));
    if cardinality(limited) = 0 then
        return false;
    end if;
    begin
        insert into headrace.flow_queue (queue) select q from unnest(limited) q order by q on conflict do nothing;
    exception when lock_not_available then
        null;
    end;
    return true;
end
$$;
