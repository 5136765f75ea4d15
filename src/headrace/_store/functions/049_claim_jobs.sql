-- Takes the first queued jobs of each queue, at most the free places of each. Claims nothing without a live lease, and holds
-- off whoever ends the lease until this commits (ENGINE 5). The array is evaluated once and before the update: a join would
-- re-scan per row under a plan made for an empty table (ENGINE 4).
--
-- A queue is scanned in segments, larger priorities first. Most are of one priority and between two positions: dead entries of
-- the index before the first are not looked at. Where `low` and `high` differ, it is a range of priorities in which nothing was
-- known to wait: the largest in it that has a job is scanned. See src/headrace/_worker/marks.py.
--
-- Nothing is to be sorted: the claim index has the order. Where statistics are old, or missing, PostgreSQL 15 expects so few
-- jobs that it would rather read and sort the whole line for each claim.
create or replace function headrace.claim_jobs(
    worker bigint, queues text[], places integer[],
    segment_queues text[], lows smallint[], highs smallint[], afters bigint[], befores bigint[]
) returns table (id text, run integer, queue text, task text, args text, attempts smallint, max_attempts smallint,
                 suspicion smallint, rank integer, "position" bigint, extras text)
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
            select w.id
            from unnest(segment_queues, lows, highs, afters, befores) as s(queue, low, high, after, before)
            cross join lateral (
                select case when s.low = s.high then s.low else (
                    select w.priority from headrace.job w
                    where w.queue = s.queue and w.priority between s.low and s.high
                      and w.position is not null and w.suspicion = 0 and w.state = 'queued'
                    order by w.priority desc, w.position limit 1) end as priority) lane
            cross join lateral (
                select w.id from headrace.job w
                where w.queue = s.queue and w.priority = lane.priority and w.position > s.after and w.position < s.before
                  and w.position is not null and w.suspicion = 0 and w.state = 'queued'
                order by w.position
                limit q.places
                for no key update skip locked) w
            where s.queue = q.name
            limit q.places) c
        where (select true from headrace.worker l where l.id = worker for key share)))
    returning j.id::text, j.run, j.queue, j.task, j.args::text, j.attempts, j.max_attempts, j.suspicion,
        -j.priority::integer, j.position,
        case when j.tenant is not null or j.correlation_id is not null or j.tags is not null or j.metadata is not null
                  or j.expires_at is not null
             then jsonb_build_object('tenant', j.tenant, 'correlation_id', j.correlation_id, 'tags', j.tags,
                                     'metadata', j.metadata, 'expired', j.expires_at < now())::text end;
end
$$;
