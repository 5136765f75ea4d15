-- Inserts jobs, except those whose id or unique key is there already, and answers the ids that went in. The first due
-- row of each queue wakes the workers. Jobs of a limited queue
-- are put in their lanes at once.
create or replace function headrace.insert_requests(requests headrace.request[]) returns setof uuid
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    return query
    with inserted as (
        insert into headrace.job (
            id, state, position, run_at, expires_at, priority, max_attempts, wake, unique_while_queued,
            queue, task, args, unique_key, tenant, correlation_id, tags, metadata, lane)
        select r.id, (case when r.due then 'queued' else 'scheduled' end)::headrace.job_state,
               case when r.due then nextval('headrace.job_position') end,
               r.run_at, r.expires_at, r.priority, r.max_attempts,
               r.due and row_number() over (partition by r.queue, r.due order by r.ordinal) = 1,
               r.unique_key is not null and r.unique_scope = 'queued',
               r.queue, r.task, case when octet_length(r.args::text) <= 2048 then r.args end,
               r.unique_key, r.tenant, r.correlation_id, r.tags, r.metadata,
               case when (select true from headrace.flow_queue f where f.queue = r.queue)
                    then (select l.lane from headrace.lane_of(r.queue, r.task, r.tenant, r.args, r.id, null) l) end
        from unnest(requests) r
        order by r.ordinal
        on conflict do nothing
        returning id, created_at, args is null as large
    ), kept as (
        insert into headrace.payload (job_id, created_at, args)
        select i.id, i.created_at, r.args
        from inserted i join unnest(requests) r on r.id = i.id
        where i.large
    )
    select i.id from inserted i;
end
$$;
