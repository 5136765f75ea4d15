-- Enqueues a delivery for each webhook that is to be told of each of the next finished jobs behind `after`, and forgets those jobs, in
-- one transaction: whatever crashes, each delivery is enqueued once. Rows that somebody else is at are left to them. Answers one row: the
-- last job that was taken, how many there were, and how many deliveries; nothing if there was none.
create or replace function headrace.enqueue_deliveries(after bigint, chunk integer)
    returns table (last bigint, jobs integer, deliveries integer)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_custom_plan
as $$
declare
    taken bigint[];
    requests jsonb;
begin
    with due as (
        select d.id, d.job from headrace.webhook_due d
        where d.id > after order by d.id limit chunk for update skip locked
    ), told as (
        select d.id, jsonb_build_object(
                   'task', 'headrace.webhook', 'tenant', d.job ->> 'tenant', 'correlation_id', d.job ->> 'correlation_id',
                   'args', jsonb_build_object('webhook', w.name, 'job', d.job - 'webhook')) as request
        from due d
        join headrace.webhook w on w.enabled
            and (d.job ->> 'state')::headrace.job_state = any(w.states)
            and (w.tenant is null or w.tenant = d.job ->> 'tenant')
            and (w.tasks && array[d.job ->> 'task', '*'] or w.name = d.job ->> 'webhook')
    )
    select (select array_agg(d.id order by d.id) from due d), (select jsonb_agg(t.request order by t.id) from told t)
    into taken, requests;
    if taken is null then
        return;
    end if;
    if requests is not null then
        perform headrace.enqueue_jobs(requests);
    end if;
    delete from headrace.webhook_due d where d.id = any(taken);
    return query select taken[cardinality(taken)], cardinality(taken), coalesce(jsonb_array_length(requests), 0);
end
$$;
