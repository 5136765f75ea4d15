-- Takes the first queued jobs of each queue, at most the free places of each. Claims nothing without a live lease, and holds
-- off whoever ends the lease until this commits (ENGINE 5). The array is evaluated once and before the update: a join would
-- re-scan per row under a plan made for an empty table (ENGINE 4).
--
-- Nothing is to be sorted: the claim index has the order. Where statistics are old, or missing, PostgreSQL 15 expects so few
-- jobs that it would rather read and sort the whole line for each claim.
create or replace function headrace.claim_jobs(worker bigint, queues text[], places integer[])
    returns table (id text, run integer, queue text, task text, args text, attempts smallint, max_attempts smallint,
                   suspicion smallint, priority smallint, "position" bigint, extras text)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_custom_plan
set enable_sort = off
set enable_bitmapscan = off
as $$
#variable_conflict use_column
begin
    return query
    update headrace.job j
    set worker_id = worker, claimed_at = now(), run = j.run + 1, state = 'running',
        unique_key = case when j.unique_while_queued then null else j.unique_key end
    where j.id = any(array(
        select c.id
        from unnest(queues, places) as q(name, places)
        cross join lateral (
            select w.id from headrace.job w
            where w.queue = q.name and w.position is not null and w.suspicion = 0 and w.state = 'queued'
            order by w.priority desc, w.position
            limit q.places
            for no key update skip locked) c
        where (select true from headrace.worker l where l.id = worker for key share)))
    returning j.id::text, j.run, j.queue, j.task, j.args::text, j.attempts, j.max_attempts, j.suspicion, j.priority, j.position,
        case when j.tenant is not null or j.correlation_id is not null or j.tags is not null or j.metadata is not null
                  or j.expires_at is not null
             then jsonb_build_object('tenant', j.tenant, 'correlation_id', j.correlation_id, 'tags', j.tags,
                                     'metadata', j.metadata, 'expired', j.expires_at < now())::text end;
end
$$;
