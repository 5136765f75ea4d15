-- claim_jobs for queues to whose jobs limits apply. One worker at a time does it, since what may start depends on all that runs:
-- who does not get the lock, which is held for milliseconds and by nobody but this function, comes again.
--
-- 1. What settles have released is added up.
-- 2. Jobs that no lane has are put in theirs. Jobs of lanes that do not fit the limits of today are put in others.
-- 3. Lanes are looked at, behind those that were looked at last, at most `most_lanes`; all of them, if there are no more.
-- 4. The first jobs of lanes whose gates are open start, as many as the gates allow, and the gates are told.
--
-- `moment` is the database's clock, read under the lock: the starts of a rate are in the order of the claims.
--
-- The first row is no job: its extras say how it went. busy: somebody else is claiming. opens_s: a gate opens by itself then. For
-- each queue: cursor: where to look next; whole: there are no further lanes, and no unsorted jobs; sorted: what step 2 found, for the marks.
create or replace function headrace.claim_limited_jobs(
    worker bigint, queues text[], places integer[], suspects boolean,
    segment_queues text[], lows smallint[], highs smallint[], afters bigint[], befores bigint[],
    cursor_lanes text[], cursor_ranks integer[], chunk integer, most_lanes integer, at_moment timestamptz default null
) returns table (id text, run integer, queue text, task text, args text, attempts smallint, max_attempts smallint,
                 suspicion smallint, rank integer, "position" bigint, extras text)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_bitmapscan = off
set jit = off
as $$
#variable_conflict use_column
declare
    moment timestamptz;
    now_us bigint;
    line text;
    lane_names text[];
    lane_ranks integer[];
    lanes_found integer;
    in_sight uuid[];
    chosen record;
    claimed uuid[] := '{}';
    sorted jsonb;
    sorted_jobs integer;
    whole boolean;
    opens_us bigint;
    said jsonb := '{}';
begin
    if not pg_try_advisory_xact_lock(headrace.lock_key(), 5) then
        return query select null::text, null::integer, null::text, null::text, null::text, null::smallint, null::smallint,
                            null::smallint, null::integer, null::bigint, '{"busy": true}';
        return;
    end if;
    perform from headrace.worker l where l.id = worker for key share;
    if not found then
        return;
    end if;
    perform headrace.fold_releases(coalesce(at_moment, clock_timestamp()));
    -- Read now: whatever has been folded in ended before it, so that not even the recorded times overlap beyond a limit.
    moment := coalesce(at_moment, clock_timestamp());
    now_us := floor(extract(epoch from moment) * 1000000);

    for i in 1 .. cardinality(queues) loop
        line := queues[i];
        continue when (select true from headrace.pause p
                       where p.queue in ('', line) and (p.until is null or p.until > moment) limit 1)
                   or (select true from headrace.flow_queue f where f.queue = line) is null;
        if not exists (select from headrace.flow_limit m where m.enabled and (m.queue = line or m.tasks is not null)) then
            perform headrace.leave_lanes(line, chunk);
            continue;
        end if;
        if suspects then
            in_sight := array(
                select j.id from headrace.job j
                where j.queue = line and j.position is not null and j.suspicion > 0 and j.state = 'queued'
                order by j.priority desc, j.position limit 20);
            continue when cardinality(in_sight) = 0;
            perform headrace.change_lanes(in_sight);
            lane_names := array(select distinct j.lane from headrace.job j where j.id = any(in_sight) and j.lane is not null);
            lane_ranks := array_fill(0, array[cardinality(lane_names)]);
        else
            in_sight := null;
            select coalesce(jsonb_agg(jsonb_build_array(s.rank, s.first, s.last, s.jobs)), '[]'), coalesce(sum(s.jobs), 0)
            into sorted, sorted_jobs
            from headrace.sort_into_lanes(
                line, chunk,
                array(select g.low from unnest(segment_queues, lows) as g(queue, low) where g.queue = line),
                array(select g.high from unnest(segment_queues, highs) as g(queue, high) where g.queue = line),
                array(select g.after from unnest(segment_queues, afters) as g(queue, after) where g.queue = line),
                array(select g.before from unnest(segment_queues, befores) as g(queue, before) where g.queue = line)) s;
            select array_agg(f.lane), array_agg(f.rank) into lane_names, lane_ranks
            from headrace.find_lanes(line, cursor_lanes[i], cursor_ranks[i], most_lanes) f;
            lanes_found := coalesce(cardinality(lane_names), 0);
            whole := lanes_found < most_lanes;
            said := jsonb_set(said, array[line], jsonb_build_object(
                'sorted', sorted, 'sorted_jobs', sorted_jobs, 'whole', whole and sorted_jobs < chunk,
                'cursor', case when not whole then jsonb_build_array(lane_names[lanes_found], lane_ranks[lanes_found]) end));
            if whole and cursor_lanes[i] > '' then
                -- Round the corner: those before the cursor.
                select lane_names || array_agg(f.lane), lane_ranks || array_agg(f.rank) into lane_names, lane_ranks
                from headrace.find_lanes(line, '', 0, most_lanes - lanes_found) f
                where (f.lane, f.rank) <= (cursor_lanes[i] collate "C", cursor_ranks[i]);
            end if;
        end if;
        continue when coalesce(cardinality(lane_names), 0) = 0;

        select * into chosen
        from headrace.choose_limited_jobs(line, places[i], lane_names, lane_ranks, in_sight, moment);
        if cardinality(chosen.chosen) > 0 then
            perform headrace.take_slots(line, chosen.chosen, chosen.chosen_lanes, chosen.turn, moment);
            claimed := claimed || chosen.chosen;
        end if;
        opens_us := least(opens_us, chosen.opens_us);
        if cardinality(chosen.stale) > 0 then
            perform headrace.change_lanes(array(
                select j.id
                from unnest(chosen.stale) as s(lane)
                cross join lateral (
                    select w.id from headrace.job w
                    where w.queue = line and w.lane = s.lane and w.lane is not null and w.position is not null
                      and w.suspicion = 0 and w.state = 'queued'
                    limit chunk) j
                limit chunk));
            said := jsonb_set(said, array[line, 'whole'], 'false');
        end if;
        exit when suspects and cardinality(claimed) > 0;
    end loop;

    return query
    select null::text, null::integer, null::text, null::text, null::text, null::smallint, null::smallint, null::smallint,
           null::integer, null::bigint,
           jsonb_build_object('queues', said, 'opens_s', case when opens_us is not null then greatest(0, (opens_us - now_us) / 1000000.0) end)::text;
    return query
    update headrace.job j
    set worker_id = worker, claimed_at = moment, run = j.run + 1, state = 'running',
        unique_key = case when j.unique_while_queued then null else j.unique_key end
    where j.id = any(claimed)
    returning j.id::text, j.run, j.queue, j.task, j.args::text, j.attempts, j.max_attempts, j.suspicion,
        -j.priority::integer, j.position,
        headrace.claim_extras(j.tenant, j.correlation_id, j.tags, j.metadata, j.expires_at, j.workflow_id, j.inputs);
end
$$;
