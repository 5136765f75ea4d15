-- Takes the first queued jobs of each queue, at most the free places of each. Claims nothing without a live lease, and holds
-- off whoever ends the lease until this commits (ENGINE 5). The lease is looked at only when there is something to claim: its
-- lock is a write, and a look that finds nothing must not wait for the disk.
--
-- A queue is scanned in segments, larger priorities first. Most are of one priority and between two positions: dead entries of
-- the index before the first are not looked at. Where `low` and `high` differ, it is a range of priorities in which nothing was
-- known to wait: the largest in it that has a job is scanned. See src/headrace/_worker/marks.py.
--
-- Paused queues are left alone, and so are those to whose jobs limits apply: claim_limited_jobs takes these. A task may have a limit
-- whatever the queue of its jobs: a queue in which one turns up becomes a limited one, and nothing is claimed this time.
--
-- One plan serves every call, made without looking at parameters or trusting statistics (ENGINE 4): the settings below leave
-- only index scans, and the ids are in an array, where a join could re-scan per row. Making it anew took half of a claim.
create or replace function headrace.claim_jobs(
    worker bigint, queues text[], places integer[],
    segment_queues text[], lows smallint[], highs smallint[], afters bigint[], befores bigint[]
) returns table (id text, run integer, queue text, task text, args text, attempts smallint, max_attempts smallint,
                 suspicion smallint, rank integer, "position" bigint, extras text)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_bitmapscan = off
set enable_sort = off
set jit = off
as $$
#variable_conflict use_column
declare
    claimable uuid[];
    tasks_have_limits boolean;
begin
    claimable := array(
        select c.id
        from unnest(queues, places) as q(name, places)
        cross join lateral (
            select w.id
            from unnest(segment_queues, lows, highs, afters, befores) as s(queue, low, high, after, before)
            cross join lateral (
                select case when s.low = s.high then s.low else (
                    select w.priority from headrace.job w
                    where w.queue = s.queue and w.priority between s.low and s.high
                      and w.position is not null and w.suspicion = 0 and w.lane is null and w.state = 'queued'
                    order by w.priority desc, w.position limit 1) end as priority) lane
            cross join lateral (
                select w.id from headrace.job w
                where w.queue = s.queue and w.priority = lane.priority and w.position > s.after and w.position < s.before
                  and w.position is not null and w.suspicion = 0 and w.lane is null and w.state = 'queued'
                order by w.position
                limit q.places
                for no key update skip locked) w
            where s.queue = q.name
            limit q.places) c
        where (select true from headrace.pause p
               where p.queue in ('', q.name) and (p.until is null or p.until > now()) limit 1) is null
          and (select true from headrace.flow_queue f where f.queue = q.name) is null);
    if cardinality(claimable) = 0 then
        return;
    end if;
    select (select true from headrace.flow_limit m where m.tasks is not null limit 1) into tasks_have_limits
    from headrace.worker l where l.id = worker for key share;
    if not found then
        return;
    end if;
    if tasks_have_limits then
        if headrace.mark_limited_queues(claimable) then
            return;
        end if;
    end if;
    return query
    update headrace.job j
    set worker_id = worker, claimed_at = now(), run = j.run + 1, state = 'running',
        unique_key = case when j.unique_while_queued then null else j.unique_key end
    where j.id = any(claimable)
    returning j.id::text, j.run, j.queue, j.task, j.args::text, j.attempts, j.max_attempts, j.suspicion,
        -j.priority::integer, j.position,
        headrace.claim_extras(j.tenant, j.correlation_id, j.tags, j.metadata, j.expires_at, j.workflow_id, j.inputs);
end
$$;
