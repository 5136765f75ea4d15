-- Enqueues an array of jobs in the caller's transaction (for the objects see read_requests). Answers each job's id in the
-- order given, and whether it existed before because a unique key was held. Every enqueue that is not one plain INSERT or
-- COPY on our own connection comes through here: unique keys, foreign connections, SQL clients.
--
-- A unique key waits for the transaction of its other holder. Keys are taken in sorted order, so that two callers with the
-- same keys cannot deadlock. In REPEATABLE READ, a key that another transaction has just taken raises 40001.
create or replace function headrace.enqueue_jobs(jobs jsonb)
    returns table (ordinal bigint, job_id uuid, existed boolean)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_custom_plan
as $$
#variable_conflict use_column
declare
    requests headrace.request[];
    request headrace.request;
begin
    requests := array(select r from headrace.read_requests(jobs) r order by r.ordinal);
    perform headrace.insert_requests(array(select r from unnest(requests) r where r.unique_key is null));
    for request in
        select * from unnest(requests) r where r.unique_key is not null
        order by r.task, coalesce(r.tenant, ''), r.unique_key, r.ordinal
    loop
        select p.job_id, p.existed, request.ordinal into job_id, existed, ordinal from headrace.place_unique_job(request) p;
        return next;
    end loop;
    return query select r.ordinal, r.id, false from unnest(requests) r where r.unique_key is null;
end
$$;
