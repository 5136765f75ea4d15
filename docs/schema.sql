CREATE SCHEMA headrace;

CREATE TYPE headrace.job_state AS ENUM (
    'blocked',
    'scheduled',
    'queued',
    'running',
    'succeeded',
    'failed',
    'cancelled'
);

CREATE TYPE headrace.request AS (
	ordinal bigint,
	id uuid,
	task text,
	queue text,
	args jsonb,
	priority smallint,
	max_attempts smallint,
	run_at timestamp with time zone,
	due boolean,
	expires_at timestamp with time zone,
	unique_key text,
	unique_scope text,
	unique_for interval,
	on_conflict text,
	tenant text,
	correlation_id text,
	tags text[],
	metadata jsonb
);

CREATE TYPE headrace.retention AS ENUM (
    'short',
    'normal',
    'long'
);

CREATE FUNCTION headrace.add_counts(one integer[], other integer[]) RETURNS integer[]
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$
    select array_agg(a.n + b.n order by a.bucket)
    from unnest(one) with ordinality as a(n, bucket) join unnest(other) with ordinality as b(n, bucket) on b.bucket = a.bucket
$$;

CREATE FUNCTION headrace.add_nodes(workflow uuid, jobs jsonb, nodes jsonb, reckoned boolean) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_custom_plan'
    SET enable_nestloop TO 'off'
    SET jit TO 'off'
    AS $$
declare
    requests headrace.request[];
    unknown uuid;
    added uuid[];
begin
    requests := array(select r from headrace.read_requests(jobs) r order by r.ordinal);
    if exists (select from unnest(requests) r where r.unique_key is not null) then
        raise exception using errcode = 'HR003', message = 'a job of a workflow cannot have a unique key';
    end if;
    with read as materialized (
        select n.* from jsonb_to_recordset(nodes)
            as n(id uuid, after uuid[], kind text, name text, feeds boolean, delay_s double precision)
    ), inserted as (
        insert into headrace.workflow_node (job_id, workflow_id, state, kind, pending, feeds, delay, name, parents)
        select r.id, workflow,
               case when reckoned then (case when r.after is null then 'queued' else 'blocked' end)::headrace.job_state end,
               coalesce(r.kind, 'job'), coalesce(cardinality(r.after), 0), coalesce(r.feeds, false),
               make_interval(secs => r.delay_s), r.name, r.after
        from read r
        on conflict (job_id) do nothing
        returning job_id, parents
    ), linked as (
        insert into headrace.dependency (parent, child)
        select p, i.job_id from inserted i cross join lateral unnest(i.parents) p
    ), told as (
        insert into headrace.workflow_change (workflow_id, job_id, state)
        select workflow, i.job_id, (case when i.parents is null then 'queued' else 'blocked' end)::headrace.job_state
        from inserted i where not reckoned
    )
    select array_agg(i.job_id) into added from inserted i;
    if added is null then
        return;
    end if;
    select d.parent into unknown
    from (select distinct p as parent from jsonb_to_recordset(nodes) as n(after uuid[]) cross join lateral unnest(n.after) p) d
    where not exists (select from headrace.workflow_node n where n.job_id = d.parent and n.workflow_id = workflow)
    limit 1;
    if unknown is not null then
        raise exception using errcode = 'HR003', message = format('workflow %s has no node %s to wait for', workflow, unknown);
    end if;
    with placed as (
        select r.*, n.inputs, n.feeds, n.after is not null as waits,
               r.due and n.after is null and coalesce(n.kind, 'job') = 'job'
               and row_number() over (partition by r.queue, r.due, n.after is null order by r.ordinal) = 1 as wakes
        from unnest(requests) r
        join jsonb_to_recordset(nodes) as n(id uuid, after jsonb, kind text, feeds boolean, inputs jsonb) on n.id = r.id
        where r.id in (select unnest(added))
    ), inserted as (
        insert into headrace.job (
            id, state, position, run_at, expires_at, priority, max_attempts, wake, queue, task, args, tenant, correlation_id,
            tags, metadata, blocked_by, workflow_id, feeds, inputs)
        select p.id, (case when p.waits then 'blocked' when p.due then 'queued' else 'scheduled' end)::headrace.job_state,
               case when p.due and not p.waits then nextval('headrace.job_position') end,
               p.run_at, p.expires_at, p.priority, p.max_attempts, p.wakes, p.queue, p.task,
               case when octet_length(p.args::text) <= 2048 then p.args end, p.tenant, p.correlation_id, p.tags, p.metadata,
               case when p.waits then 'parents' end, workflow, p.feeds, p.inputs
        from placed p
        order by p.ordinal
        returning id, created_at, args is null as large
    )
    insert into headrace.payload (job_id, created_at, args)
    select i.id, i.created_at, r.args
    from inserted i join unnest(requests) r on r.id = i.id
    where i.large;
end
$$;

CREATE FUNCTION headrace.add_to_workflow(workflow uuid, jobs jsonb, nodes jsonb) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
    missing text;
begin
    perform from headrace.workflow w
    where w.id = workflow and w.state = 'running' and w.cancel_reason is null for key share;
    if not found then
        -- The same call again: what it added is there, whatever has become of the workflow.
        if exists (select from jsonb_array_elements(nodes) n join headrace.workflow_node f
                   on f.job_id = (n.value ->> 'id')::uuid and f.workflow_id = workflow) then
            return;
        end if;
        raise exception using
            errcode = 'HR004',
            message = coalesce(
                (select format('workflow %s is %s: nothing can be added to it', workflow,
                               case when w.cancel_reason is null then 'finished' else 'cancelled' end)
                 from headrace.workflow w where w.id = workflow),
                format('there is no workflow %s', workflow));
    end if;
    select a into missing
    from jsonb_array_elements(nodes) n
    cross join lateral jsonb_array_elements_text(n.value -> 'after_names') a
    where not exists (select from headrace.workflow_node f where f.workflow_id = workflow and f.name = a)
    limit 1;
    if missing is not null then
        raise exception using errcode = 'HR003', message = format('workflow %s has no node named "%s"', workflow, missing);
    end if;
    perform headrace.add_nodes(workflow, jobs, (
        select jsonb_agg(case when n.value ? 'after_names' then n.value || jsonb_build_object('after',
                   coalesce(n.value -> 'after', '[]') || (
                       select jsonb_agg(f.job_id)
                       from jsonb_array_elements_text(n.value -> 'after_names') a
                       join headrace.workflow_node f on f.workflow_id = workflow and f.name = a))
               else n.value end)
        from jsonb_array_elements(nodes) n), false);
end
$$;

CREATE FUNCTION headrace.advance_workflows(ids uuid[], since timestamp with time zone DEFAULT '-infinity'::timestamp with time zone) RETURNS SETOF uuid
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    AS $$
declare
    held uuid[];
    idle uuid[];
    done record;
    callback record;
begin
    held := array(select w.id from headrace.workflow w where w.id = any(ids) order by w.id for no key update skip locked);
    while headrace.reckon_changes(held, since) loop
    end loop;
    idle := array(select w.id from headrace.workflow w
                  where w.id = any(held) and w.state = 'running' and w.blocked = 0 and w.queued = 0
                  order by w.id for update skip locked);
    if cardinality(idle) > 0 then
        -- Whoever added to them has committed by now, or waits for us: this is all there is.
        while headrace.reckon_changes(idle, '-infinity') loop
        end loop;
        for done in
            update headrace.workflow w
            set finished_at = now(), finishing = false,
                state = (case when w.failed > 0 then 'failed' when w.cancelled > 0 then 'cancelled' else 'succeeded'
                         end)::headrace.job_state
            where w.id = any(idle) and w.state = 'running' and w.blocked = 0 and w.queued = 0
            returning w.id, w.state, w.callbacks
        loop
            for callback in
                select c.key as kind, headrace.uuid7() as id, c.value as job from jsonb_each(done.callbacks) c
                where c.key = 'on_finished' or (c.key = 'on_success') = (done.state = 'succeeded')
            loop
                perform headrace.add_nodes(
                    done.id, jsonb_build_array(callback.job || jsonb_build_object('id', callback.id)),
                    jsonb_build_array(jsonb_build_object('id', callback.id, 'kind', callback.kind)), true);
                perform headrace.wake_queues(array[callback.job ->> 'queue']);
            end loop;
        end loop;
    end if;
    update headrace.workflow w set finishing = true
    where w.id = any(held) and w.state = 'running' and w.blocked = 0 and w.queued = 0 and not w.finishing;
    -- What is left of workflows that are gone.
    delete from headrace.workflow_change c
    where c.workflow_id = any(array(select i from unnest(ids) i
                                    where not exists (select from headrace.workflow w where w.id = i)));
    return query
    select i from unnest(ids) i where i <> all(held) and exists (select from headrace.workflow w where w.id = i);
end
$$;

CREATE FUNCTION headrace.announce_event() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
    if exists (select from headrace.job j where j.blocked_by = 'event:' || new.name)
       and pg_try_advisory_xact_lock(headrace.lock_key(), 6) then
        perform pg_notify('headrace_event', '');
    end if;
    return null;
end
$$;

CREATE FUNCTION headrace.apply_action(action text, settings jsonb, ids uuid[]) RETURNS SETOF uuid
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_custom_plan'
    AS $$
begin
    case action
    when 'retry' then -- finished ones; what waits for its next attempt is let run by run_now
        return query select headrace.retry_jobs(
            array(select h.id from headrace.job_history h
                  where h.id = any(apply_action.ids) and h.finished_at >= headrace.uuid7_floor_of(apply_action.ids)),
            null, coalesce((settings ->> 'from_start')::boolean, false));
    when 'run_now' then
        return query select headrace.retry_jobs(
            array(select j.id from headrace.job j
                  where j.id = any(apply_action.ids) and (j.state = 'scheduled' or j.look_at is not null)), null, false);
    when 'cancel' then
        return query select c.job_id from headrace.cancel_jobs(apply_action.ids, settings ->> 'reason') c
                     where c.outcome in ('cancelled', 'requested');
    when 'delete' then
        return query select headrace.delete_jobs(apply_action.ids);
    when 'set_priority' then
        return query select headrace.change_jobs(apply_action.ids, (settings ->> 'priority')::smallint, null);
    when 'move' then
        return query select headrace.change_jobs(apply_action.ids, null, settings ->> 'queue');
    end case;
end
$$;

CREATE FUNCTION headrace.await_event(worker bigint, job_id uuid, run integer, ordinal integer, event text, timeout_s double precision, as_of timestamp with time zone DEFAULT now()) RETURNS TABLE(outcome text, payload text, left_s double precision)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_custom_plan'
    AS $$
declare
    since timestamptz := headrace.uuid7_floor(job_id);
    until timestamptz := greatest(now(), as_of) + interval '1 day';
    recorded record;
    emitted record;
begin
    if not headrace.hold_attempt(worker, job_id, run) then
        return;
    end if;
    select s.outcome, s.result, s.wakes_at into recorded
    from headrace.step s
    where s.job_id = await_event.job_id and s.ordinal = await_event.ordinal and s.recorded_at >= since and s.recorded_at < until;
    if recorded.outcome in ('done', 'timed_out') then
        return query select recorded.outcome, recorded.result::text, 0::double precision;
        return;
    end if;
    select e.name, e.payload into emitted from headrace.event e where e.name = event;
    left_s := coalesce(extract(epoch from recorded.wakes_at - as_of)::double precision, timeout_s);
    outcome := case when emitted.name is not null then 'done' when left_s <= 0 then 'timed_out' else 'waiting' end;
    payload := emitted.payload::text;
    if recorded.outcome is null then
        insert into headrace.step (job_id, ordinal, run, kind, name, outcome, recorded_at, finished_at, wakes_at, result)
        values (await_event.job_id, await_event.ordinal, await_event.run, 'event', event, await_event.outcome, now(),
                case when await_event.outcome <> 'waiting' then now() end, as_of + make_interval(secs => timeout_s),
                emitted.payload);
    elsif outcome <> 'waiting' then
        update headrace.step s
        set outcome = await_event.outcome, run = await_event.run, finished_at = now(), result = emitted.payload
        where s.job_id = await_event.job_id and s.ordinal = await_event.ordinal and s.recorded_at >= since
          and s.recorded_at < until;
    end if;
    return next;
end
$$;

CREATE FUNCTION headrace.backfill_schedule(schedule text, tenant text, moments jsonb) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_custom_plan'
    AS $$
declare
    s headrace.schedule;
    d headrace.schedule_due;
    t headrace.tick;
    jobs jsonb[] := '{}';
    filled integer := 0;
begin
    select * into d from headrace.schedule_due x
    where x.schedule = backfill_schedule.schedule and x.tenant = backfill_schedule.tenant for no key update;
    if not found then
        return null;
    end if;
    select * into s from headrace.schedule x where x.name = backfill_schedule.schedule;
    for t in
        insert into headrace.tick as k (schedule, tenant, nominal, fold, due_at, fired_at, cause, outcome, job_id)
        select s.name, d.tenant, m.nominal, m.fold, m.due_at, now(), 'backfill',
               case when s.overlap = 'allow' then 'enqueued' else 'waiting' end,
               case when s.overlap = 'allow' then headrace.uuid7() end
        from jsonb_to_recordset(moments) as m(nominal timestamp, fold smallint, due_at timestamptz)
        order by m.nominal, m.fold
        on conflict on constraint tick_pkey do update
        set cause = excluded.cause, outcome = excluded.outcome, job_id = excluded.job_id, fired_at = excluded.fired_at, detail = null
        where k.outcome not in ('enqueued', 'waiting')
        returning k.*
    loop
        filled := filled + 1;
        if t.job_id is not null then
            jobs := jobs || headrace.schedule_job(s, d, t.job_id, t.nominal, t.fold, t.due_at);
        end if;
    end loop;
    if filled > 0 and s.overlap <> 'allow' then
        update headrace.schedule_due x set has_waiting = true where x.schedule = d.schedule and x.tenant = d.tenant;
    end if;
    perform headrace.enqueue_ticks(jobs);
    return filled;
end
$$;

CREATE FUNCTION headrace.bucket_of(seconds double precision) RETURNS integer
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$
    select case when seconds < 0.001 then 0 else least(63, 1 + floor(2 * ln(seconds * 1000) / ln(2::double precision)))::integer end
$$;

CREATE FUNCTION headrace.cancel_jobs(ids uuid[], reason text) RETURNS TABLE(job_id uuid, outcome text)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_custom_plan'
    AS $$
declare
    waiting uuid[];
    waiting_runs integer[];
    asked uuid[];
    nothing text[];
begin
    perform from headrace.job j where j.id = any(cancel_jobs.ids) order by j.id for update;
    select array_agg(j.id), array_agg(j.run) into waiting, waiting_runs
    from headrace.job j where j.id = any(cancel_jobs.ids) and j.state <> 'running';
    if waiting is not null then
        update headrace.job j set cancel_reason = coalesce(reason, 'cancelled') where j.id = any(waiting);
        nothing := array_fill(null::text, array[cardinality(waiting)]);
        perform headrace.finish_jobs(null, waiting, waiting_runs, array_fill('cancelled'::text, array[cardinality(waiting)]),
                                     nothing, nothing, nothing);
    end if;
    with told as (
        update headrace.job j set cancel_reason = coalesce(reason, 'cancelled')
        where j.id = any(cancel_jobs.ids) and j.state = 'running'
        returning j.id)
    select array_agg(t.id) into asked from told t;
    if asked is not null then
        perform pg_notify('headrace_cancel', '');
    end if;
    return query
    select i, case when i = any(waiting) then 'cancelled'
                   when i = any(asked) then 'requested'
                   when exists (select from headrace.job_history h where h.id = i and h.finished_at >= headrace.uuid7_floor(i))
                   then 'finished' else 'unknown' end
    from unnest(cancel_jobs.ids) i;
end
$$;

CREATE FUNCTION headrace.cancel_workflow(workflow uuid, reason text) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
    update headrace.workflow w set cancel_reason = coalesce(reason, 'cancelled')
    where w.id = workflow and w.state = 'running';
    if not found then
        return case when exists (select from headrace.workflow w where w.id = workflow) then 'finished' else 'unknown' end;
    end if;
    update headrace.workflow_node n set move = 'cancel'
    where n.workflow_id = workflow and n.state in ('blocked', 'queued') and n.kind in ('job', 'barrier');
    perform headrace.advance_workflows(array[workflow]);
    return 'cancelled';
end
$$;

CREATE FUNCTION headrace.change_jobs(ids uuid[], new_priority smallint, new_queue text) RETURNS SETOF uuid
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_custom_plan'
    AS $$
declare
    changed uuid[];
    woken text[];
begin
    with locked as materialized (
        select j.id, j.position from headrace.job j
        where j.id = any(change_jobs.ids) and j.state <> 'running' order by j.id for no key update skip locked
    ), placed as materialized (
        select l.id, case when l.position is not null then nextval('headrace.job_position') end as position
        from (select x.id, x.position from locked x order by x.position) l
    ), done as (
        update headrace.job j
        set priority = coalesce(new_priority, j.priority), queue = coalesce(new_queue, j.queue), position = p.position, lane = null
        from placed p where j.id = p.id and j.id = any(change_jobs.ids)
        returning j.id, j.queue, j.state
    )
    select array_agg(d.id), array_agg(d.queue) filter (where d.state = 'queued') into changed, woken from done d;
    perform headrace.wake_queues(woken) where woken is not null;
    return query select unnest(changed);
end
$$;

CREATE FUNCTION headrace.change_lanes(ids uuid[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_custom_plan'
    AS $$
begin
    with locked as (
        select j.id from headrace.job j
        where j.id = any(ids) and j.state = 'queued' order by j.id for no key update skip locked
    ), found as (
        select j.id, n.lane
        from headrace.job j
        cross join lateral headrace.lane_of(j.queue, j.task, j.tenant, j.args, j.id, j.created_at) n
        where j.id = any(array(select l.id from locked l)) and j.lane is distinct from n.lane
    )
    update headrace.job j set lane = f.lane from found f where j.id = f.id;
end
$$;

CREATE FUNCTION headrace.check_queue_cap() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
    cap integer;
    waiting bigint;
begin
    select q.max_queued into cap from headrace.queue q where q.name = new.queue;
    if cap is null then
        return null;
    end if;
    select count(*) into waiting from (
        (select from headrace.job j
         where j.queue = new.queue and j.position is not null and j.suspicion = 0 and j.lane is null and j.state = 'queued'
         limit cap + 1)
        union all
        (select from headrace.job j
         where j.queue = new.queue and j.position is not null and j.suspicion = 0 and j.lane is not null and j.state = 'queued'
         limit cap + 1)) w;
    if waiting > cap then
        raise exception using
            errcode = 'HR001',
            message = format('queue "%s" is full: it may hold %s queued jobs', new.queue, cap),
            hint = format('Run more workers, or raise the bound: update headrace.queue set max_queued = ... where name = %L',
                          new.queue);
    end if;
    return null;
end
$$;

CREATE FUNCTION headrace.choose_limited_jobs(queue text, places integer, lanes text[], ranks integer[], suspects uuid[], moment timestamp with time zone, OUT chosen uuid[], OUT chosen_lanes text[], OUT stale text[], OUT opens_us bigint, OUT turn double precision) RETURNS record
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET enable_nestloop TO 'off'
    SET enable_mergejoin TO 'off'
    SET jit TO 'off'
    AS $$
#variable_conflict use_column
declare
    now_us constant bigint := floor(extract(epoch from moment) * 1000000);
    ageing_s double precision;
    line_turn double precision;
begin
    select extract(epoch from m.span) into ageing_s
    from headrace.flow_limit m where m.kind = 'ageing' and m.enabled and m.queue = choose_limited_jobs.queue limit 1;
    select f.turn into line_turn from headrace.flow_queue f where f.queue = choose_limited_jobs.queue;
    with visited as materialized (
        select v.lane, v.rank from unnest(lanes, ranks) as v(lane, rank)
    ), lane as materialized (
        select d.lane, d.lane::jsonb as parts from (select distinct v.lane from visited v) d
    ), task as materialized (
        select t.name, array(
                   select m.id from headrace.flow_limit m
                   where m.enabled and m.kind <> 'ageing'
                     and (m.queue = choose_limited_jobs.queue or t.name = any(m.tasks))) as limits
        from (select distinct l.parts ->> 0 as name from lane l) t
    ), pair as materialized (
        select l.lane, (p.pair ->> 0)::bigint as limit_id, p.pair ->> 1 as key
        from lane l cross join lateral jsonb_array_elements(l.parts - 0) as p(pair)
    ), gate as materialized (
        select d.limit_id, d.key, s.free, m.kind = 'order' as ordered, case when s.free = 0 then s.opens_us end as opens_us,
               case when m.kind = 'order' and m.settings ->> 'on_failure' = 'hold' then (
                   select w.id from headrace.job w where w.id = g.holder) end as holder,
               case when m.kind = 'fair' then greatest(coalesce(g.turn, 0), line_turn) end as turn,
               case when m.kind = 'fair' then coalesce((m.settings #>> array['weights', d.key])::float8, 1) end as weight
        from (select distinct p.limit_id, p.key from pair p) d
        join headrace.flow_limit m on m.id = d.limit_id
        left join lateral (
            select f.held, f.tat_us, f.step_us, f.turn, f.holder, f.state, f.since, f.probes
            from headrace.flow_gate f where f.limit_id = d.limit_id and f.key = d.key limit 1) g on true
        cross join lateral (
            select n.step_us, case when m.kind = 'rate' then headrace.rate_ahead(
                       coalesce(g.tat_us, 0), coalesce(g.step_us, n.step_us), n.step_us,
                       floor(extract(epoch from m.changed_at) * 1000000)::bigint, now_us) end as ahead_us
            from (select case when m.kind = 'rate'
                              then ceil(extract(epoch from m.span) * 1000000 / m.bound)::bigint end as step_us) n) r
        cross join lateral (
            select case m.kind
                       when 'concurrency' then greatest(0, m.bound - coalesce(g.held, 0))
                       when 'order' then greatest(0, 1 - coalesce(g.held, 0))
                       when 'rate' then greatest(0, (m.burst * r.step_us - r.ahead_us) / r.step_us)
                       when 'breaker' then case
                           when coalesce(m.forced, g.state, 'closed') = 'open' then 0
                           when m.forced is null and g.state = 'half_open' then greatest(0, m.bound - g.probes)
                           else 1000000 end
                       else 1000000 end::integer as free,
                   case when m.kind = 'rate' then now_us + r.ahead_us - (m.burst - 1) * r.step_us
                        when m.kind = 'breaker' and m.forced is null and g.state = 'open'
                        then (extract(epoch from g.since) * 1000000)::bigint
                             + ((m.settings ->> 'cool_down_s')::float8 * 1000000)::bigint end as opens_us) s
    ), state as materialized (
        select l.lane, coalesce(min(g.free), 1000000) as free, max(g.turn) as turn, max(g.weight) as weight,
               max(p.limit_id) filter (where g.turn is not null) as fair_id, max(p.key) filter (where g.turn is not null) as fair_key,
               coalesce(bool_or(g.ordered), false) as ordered, min(g.holder::text)::uuid as holder,
               min(g.holder::text) is distinct from max(g.holder::text) as torn,
               count(p.limit_id) = min(cardinality(t.limits)) and bool_and(p.limit_id is null or p.limit_id = any(t.limits)) as fits
        from lane l
        join task t on t.name = l.parts ->> 0
        left join pair p on p.lane = l.lane
        left join gate g on g.limit_id = p.limit_id and g.key = p.key
        group by l.lane
    ), bound as materialized (
        select ceil(places / greatest(1, count(*))::float8)::integer as share
        from visited v join state s on s.lane = v.lane where s.fits and s.free > 0
    ), candidate as materialized (
        select c.id, s.lane, v.rank, c.position, c.run_at, s.turn, s.weight, s.fair_id, s.fair_key
        from visited v
        join state s on s.lane = v.lane
        cross join lateral (
            select j.id, j.position, j.run_at from headrace.job j
            where j.queue = choose_limited_jobs.queue and j.lane = v.lane and (-j.priority::integer) = v.rank
              and j.position is not null and j.suspicion = 0 and j.lane is not null and j.state = 'queued'
            order by j.position
            limit least(s.free, places, (select b.share from bound b))
            for no key update skip locked) c
        where s.fits and s.free > 0 and s.holder is null and suspects is null
          -- Where order counts, nobody passes by a job that somebody holds.
          and not (s.ordered and exists (
              select from headrace.job e
              where e.queue = choose_limited_jobs.queue and e.lane = v.lane and (-e.priority::integer) = v.rank
                and e.position is not null and e.suspicion = 0 and e.lane is not null and e.state = 'queued'
                and e.position < c.position))
        union all
        select c.id, s.lane, c.rank, c.position, c.run_at, s.turn, s.weight, s.fair_id, s.fair_key
        from state s
        cross join lateral (
            select j.id, -j.priority::integer as rank, j.position, j.run_at from headrace.job j
            where j.id = s.holder and j.queue = choose_limited_jobs.queue and j.lane = s.lane
              and j.position is not null and j.suspicion = 0 and j.state = 'queued'
            for no key update skip locked) c
        where s.fits and s.free > 0 and not s.torn and suspects is null
        union all
        select c.id, s.lane, c.rank, c.position, c.run_at, s.turn, s.weight, s.fair_id, s.fair_key
        from state s
        cross join lateral (
            select j.id, -j.priority::integer as rank, j.position, j.run_at from headrace.job j
            where j.id = any(suspects) and j.lane = s.lane and j.position is not null and j.suspicion > 0
              and j.state = 'queued'
            for no key update skip locked) c
        where s.fits and s.free > 0 and not s.torn and coalesce(s.holder = c.id, true)
    ), aged as materialized (
        select c.id, c.lane, c.position, c.fair_id, c.fair_key, c.turn, c.weight,
               case when ageing_s is null then c.rank
                    else c.rank - floor(extract(epoch from moment - c.run_at) / ageing_s) end as rank
        from candidate c
    ), fair as materialized (
        select a.id, a.lane, a.rank, a.position,
               coalesce(a.turn + (row_number() over (partition by a.fair_id, a.fair_key order by a.rank, a.position) - 1)
                        / a.weight, 0) as turn
        from aged a
    ), line as materialized (
        select f.id, f.lane, f.turn, row_number() over (order by f.turn, f.rank, f.position) as place from fair f
    ), crowded as materialized (
        -- The gates that these jobs could overfill; the others refuse nobody. A gate that one lane alone has is not among them: no
        -- more jobs were taken from its lane than it has slots.
        select g.limit_id, g.key, g.free
        from (select c.lane, count(*) as jobs from candidate c group by c.lane) n
        join pair p on p.lane = n.lane
        join gate g on g.limit_id = p.limit_id and g.key = p.key
        group by g.limit_id, g.key, g.free
        having sum(n.jobs) > g.free
    ), refused as materialized (
        select n.id
        from (select l.id, r.free, row_number() over (partition by r.limit_id, r.key order by l.place) as number
              from crowded r
              join pair p on p.limit_id = r.limit_id and p.key = r.key
              join line l on l.lane = p.lane) n
        where n.number > n.free
    ), allowed as materialized (
        select l.id, l.lane, l.turn from line l
        where not exists (select from refused r where r.id = l.id)
        order by l.place
        limit places
    )
    select coalesce((select array_agg(a.id) from allowed a), '{}'),
           coalesce((select array_agg(a.lane) from allowed a), '{}'),
           coalesce((select array_agg(s.lane) from state s where not s.fits), '{}'),
           (select min(g.opens_us) from gate g),
           (select max(a.turn) from allowed a)
    into chosen, chosen_lanes, stale, opens_us, turn;
end
$$;

CREATE FUNCTION headrace.claim_extras(tenant text, correlation_id text, tags text[], metadata jsonb, expires_at timestamp with time zone, workflow_id uuid, inputs jsonb) RETURNS text
    LANGUAGE sql STABLE
    AS $$
    select case when workflow_id is not null
                then jsonb_build_object('tenant', tenant, 'correlation_id', correlation_id, 'tags', tags, 'metadata', metadata,
                                        'expired', expires_at < now(), 'workflow_id', workflow_id, 'inputs', inputs)::text
                when tenant is not null or correlation_id is not null or tags is not null or metadata is not null
                     or expires_at is not null
                then jsonb_build_object('tenant', tenant, 'correlation_id', correlation_id, 'tags', tags, 'metadata', metadata,
                                        'expired', expires_at < now())::text end
$$;

CREATE FUNCTION headrace.claim_jobs(worker bigint, queues text[], places integer[], segment_queues text[], lows smallint[], highs smallint[], afters bigint[], befores bigint[]) RETURNS TABLE(id text, run integer, queue text, task text, args text, attempts smallint, max_attempts smallint, suspicion smallint, rank integer, "position" bigint, extras text)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET enable_sort TO 'off'
    SET jit TO 'off'
    AS $$
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

CREATE FUNCTION headrace.claim_limited_jobs(worker bigint, queues text[], places integer[], suspects boolean, segment_queues text[], lows smallint[], highs smallint[], afters bigint[], befores bigint[], cursor_lanes text[], cursor_ranks integer[], chunk integer, most_lanes integer, at_moment timestamp with time zone DEFAULT NULL::timestamp with time zone) RETURNS TABLE(id text, run integer, queue text, task text, args text, attempts smallint, max_attempts smallint, suspicion smallint, rank integer, "position" bigint, extras text)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET jit TO 'off'
    AS $$
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

CREATE FUNCTION headrace.class_age(class headrace.retention) RETURNS interval
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$
    select case class when 'short' then interval '1 day' when 'normal' then interval '7 days' else interval '90 days' end
$$;

CREATE FUNCTION headrace.count_ended(low timestamp with time zone, high timestamp with time zone, backwards pg_snapshot, counted_until timestamp with time zone, moment timestamp with time zone, own bigint, OUT counted bigint, OUT taken pg_snapshot) RETURNS record
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_custom_plan'
    SET jit TO 'off'
    AS $$
begin
    with part as materialized (
        select greatest(s.from_at, low) as from_at, least(s.to_at, high) as to_at, s.snapshot,
               pg_snapshot_xmin(s.snapshot)::text::bigint as oldest
        from (select r.from_at, coalesce(lead(r.from_at) over (order by r.from_at), 'infinity') as to_at, r.snapshot
              from headrace.rollup_seen r where backwards is null
              union all
              select '-infinity', 'infinity', backwards where backwards is not null) s
        where s.to_at > low and s.from_at < high
    ), finished as materialized (
        -- Counts, starts, waits and runs apart: together there would be nearly as many groups as rows.
        select case when grouping(f.started_at) = 0 then f.started_at else f.at end as at, f.queue, f.task,
               case 0 when grouping(f.what) then f.what::text when grouping(f.started_at) then 'started'
                      when grouping(f.wait) then 'wait' else 'run' end as what,
               coalesce(f.wait, f.run) as bucket, count(*) as n
        from (
            select date_bin('1 minute', h.finished_at, '2000-01-01 00:00:00+00') as at,
                   case when h.worker_id <> 0 then date_bin('1 minute', h.claimed_at, '2000-01-01 00:00:00+00') end as started_at,
                   h.queue, h.task, h.state as what,
                   case when h.worker_id <> 0 then headrace.bucket_of(
                       date_part('epoch', h.claimed_at - coalesce(h.run_at, h.created_at))) end as wait,
                   case when h.worker_id <> 0 and h.state <> 'cancelled' then headrace.bucket_of(
                       date_part('epoch', h.finished_at - h.claimed_at)) end as run
            from part p
            join headrace.job_history h on h.finished_at >= p.from_at and h.finished_at < p.to_at
            where h.finished_at >= low and h.finished_at < least(high, moment + interval '1 day')
              and case when backwards is null
                       then own - age(h.xmin) >= p.oldest
                            and not pg_visible_in_snapshot((own - age(h.xmin))::text::xid8, p.snapshot)
                       else own - age(h.xmin) < p.oldest
                            or pg_visible_in_snapshot((own - age(h.xmin))::text::xid8, p.snapshot) end) f
        group by grouping sets ((f.at, f.queue, f.task, f.what), (f.started_at, f.queue, f.task), (f.at, f.queue, f.task, f.wait),
                                (f.at, f.queue, f.task, f.run))
    ), tried as materialized (
        select a.job_id, a.finished_at, a.started_at, a.outcome
        from part p
        join headrace.attempt a on a.finished_at >= p.from_at and a.finished_at < p.to_at
        where a.finished_at >= low and a.finished_at < least(high, moment + interval '1 day')
          and case when backwards is null
                   then own - age(a.xmin) >= p.oldest
                        and not pg_visible_in_snapshot((own - age(a.xmin))::text::xid8, p.snapshot)
                   else own - age(a.xmin) < p.oldest
                        or pg_visible_in_snapshot((own - age(a.xmin))::text::xid8, p.snapshot) end
          and (a.outcome in ('retried', 'lost', 'snoozed', 'waiting')
               or (a.outcome in ('succeeded', 'failed', 'cancelled') and a.finished_at >= counted_until))
    ), ended as materialized (
        select date_bin('1 minute', t.finished_at, '2000-01-01 00:00:00+00') as at,
               case when t.started_at > '-infinity' then date_bin('1 minute', t.started_at, '2000-01-01 00:00:00+00') end as started_at,
               coalesce(j.queue, h.queue) as queue, coalesce(j.task, h.task) as task,
               case t.outcome when 'lost' then 'rescued' when 'snoozed' then null when 'waiting' then null else t.outcome end as what,
               case when t.outcome in ('retried', 'succeeded', 'failed') and t.started_at > '-infinity' then
                   headrace.bucket_of(date_part('epoch', t.finished_at - t.started_at)) end as run
        from tried t
        left join headrace.job j on j.id = t.job_id
        left join lateral (
            select d.queue, d.task from headrace.job_history d
            where j.id is null and d.id = t.job_id and d.finished_at >= t.finished_at
              and d.finished_at >= low and d.finished_at < moment + interval '1 day' limit 1) h on true
        where coalesce(j.queue, h.queue) is not null
    ), base as materialized (
        select f.at, f.queue, f.task, f.what, f.bucket, sum(f.n)::bigint as n
        from (select f.at, f.queue, f.task, f.what, f.bucket, f.n from finished f
              where f.at is not null and (f.what not in ('wait', 'run') or f.bucket is not null)
              union all
              select e.at, e.queue, e.task, e.what, null, 1 from ended e where e.what is not null
              union all
              select e.at, e.queue, e.task, 'run', e.run, 1 from ended e where e.run is not null
              union all
              select e.started_at, e.queue, e.task, 'started', null, 1 from ended e where e.started_at is not null) f
        group by f.at, f.queue, f.task, f.what, f.bucket
    ), added as (
        insert into headrace.rollup as r (step, scope, start_at, queue, task, started, succeeded, failed, cancelled, retried, rescued,
                                          waits, runs)
        select s.step, case grouping(b.queue, b.task) when 0 then 0 when 1 then 1 else 2 end, s.start_at,
               coalesce(b.queue, ''), coalesce(b.task, ''),
               coalesce(sum(b.n) filter (where b.what = 'started'), 0), coalesce(sum(b.n) filter (where b.what = 'succeeded'), 0),
               coalesce(sum(b.n) filter (where b.what = 'failed'), 0), coalesce(sum(b.n) filter (where b.what = 'cancelled'), 0),
               coalesce(sum(b.n) filter (where b.what = 'retried'), 0), coalesce(sum(b.n) filter (where b.what = 'rescued'), 0),
               headrace.tally(array_agg(b.bucket) filter (where b.what = 'wait'), array_agg(b.n) filter (where b.what = 'wait')),
               headrace.tally(array_agg(b.bucket) filter (where b.what = 'run'), array_agg(b.n) filter (where b.what = 'run'))
        from base b
        cross join lateral (values ('minute', b.at, interval '2 days'), ('hour', date_trunc('hour', b.at, 'UTC'), interval '14 days'),
                                   ('day', date_trunc('day', b.at, 'UTC'), interval '400 days')) as s(step, start_at, keep)
        where s.start_at > moment - s.keep
        group by grouping sets ((s.step, s.start_at, b.queue, b.task), (s.step, s.start_at, b.queue), (s.step, s.start_at))
        on conflict (step, scope, task, queue, start_at) do update
        set started = r.started + excluded.started, succeeded = r.succeeded + excluded.succeeded, failed = r.failed + excluded.failed,
            cancelled = r.cancelled + excluded.cancelled, retried = r.retried + excluded.retried,
            rescued = r.rescued + excluded.rescued, waits = headrace.add_counts(r.waits, excluded.waits),
            runs = headrace.add_counts(r.runs, excluded.runs)
    )
    select coalesce(sum(b.n) filter (where b.what not in ('started', 'wait', 'run')), 0), pg_current_snapshot() into counted, taken from base b;
end
$$;

CREATE FUNCTION headrace.count_tries(keys text[], bounds integer[], span_s double precision) RETURNS TABLE(wait_s double precision, is_first boolean)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
    span constant interval := make_interval(secs => span_s);
begin
    return query
    with asked as (
        select k.key, k.bound from unnest(keys, bounds) as k(key, bound)
    ), counted as (
        insert into headrace.access_try as t (key, tries, since)
        select a.key, 1, now() from asked a order by a.key
        on conflict (key) do update
        set tries = case when t.since < now() - span then 1 else t.tries + 1 end,
            since = case when t.since < now() - span then now() else t.since end
        returning t.key, t.tries, t.since
    )
    select coalesce(max(extract(epoch from c.since + span - now())) filter (where c.tries > a.bound), 0)::double precision,
           coalesce(bool_and(c.tries = a.bound + 1) filter (where c.tries > a.bound), false)
    from counted c join asked a on a.key = c.key;
end
$$;

CREATE FUNCTION headrace.create_audit_partitions(first_day date, last_day date) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET lock_timeout TO '5s'
    AS $$
declare
    month date;
    name text;
    made integer := 0;
begin
    for month in
        select m::date from generate_series(date_trunc('month', first_day::timestamp), last_day::timestamp, interval '1 month') m
    loop
        name := format('audit_%s', to_char(month, 'YYYYMM'));
        continue when to_regclass(format('headrace.%I', name)) is not null;
        execute format('create table headrace.%I (like headrace.audit including defaults including constraints)', name);
        execute format('alter table headrace.audit attach partition headrace.%I for values from (%L) to (%L)', name,
                       month::text || ' 00:00:00+00', (month + interval '1 month')::date::text || ' 00:00:00+00');
        made := made + 1;
    end loop;
    return made;
end
$$;

CREATE FUNCTION headrace.create_partitions(first_day date, last_day date) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET lock_timeout TO '5s'
    AS $$
declare
    parent text;
    day date;
    name text;
    made integer := 0;
begin
    perform pg_advisory_xact_lock(headrace.lock_key(), 3);
    foreach parent in array array['job_history_short', 'job_history_normal', 'job_history_long', 'attempt', 'job_log', 'payload', 'step']
    loop
        for day in select d::date from generate_series(first_day::timestamp, last_day::timestamp, interval '1 day') d
        loop
            name := format('%s_%s', parent, to_char(day, 'YYYYMMDD'));
            continue when to_regclass(format('headrace.%I', name)) is not null;
            execute format('create table headrace.%I (like headrace.%I including defaults including constraints)', name, parent);
            execute format('alter table headrace.%I attach partition headrace.%I for values from (%L) to (%L)', parent, name,
                           day::text || ' 00:00:00+00', (day + 1)::text || ' 00:00:00+00');
            -- Nothing is summarised before it is full: what is summarised is logged again with every insert.
            perform brin_desummarize_range(i.indexrelid, 0)
            from pg_index i join pg_class c on c.oid = i.indexrelid and c.relam = (select a.oid from pg_am a where a.amname = 'brin')
            where i.indrelid = to_regclass(format('headrace.%I', name));
            made := made + 1;
        end loop;
    end loop;
    perform headrace.create_audit_partitions(first_day, last_day);
    return made;
end
$$;

CREATE FUNCTION headrace.declare_schedules(worker bigint, declarations jsonb, tasks text[]) RETURNS TABLE(schedule text, change text)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_custom_plan'
    SET lock_timeout TO '1s'
    AS $$
#variable_conflict use_column
declare
    c record;
    known record;
begin
    if not pg_try_advisory_xact_lock(headrace.lock_key(), 4) then
        return query select null::text, 'busy'::text;
        return;
    end if;
    if not exists (select from headrace.worker w where w.id = worker) then
        return;
    end if;
    delete from headrace.schedule_code k
    where not exists (select from headrace.worker w where w.id = k.worker_id);
    insert into headrace.schedule_code (schedule, worker_id, digest, generation)
    select r.name, worker, r.digest, coalesce(
        (select max(k.generation) from headrace.schedule_code k where k.schedule = r.name and k.digest = r.digest),
        (select max(k.generation) + 1 from headrace.schedule_code k where k.schedule = r.name), 1)
    from jsonb_to_recordset(declarations) as r(name text, digest text)
    on conflict do nothing;
    for c in
        select r.name, r.digest, r.fields
        from jsonb_to_recordset(declarations) as r(name text, digest text, fields jsonb)
        where r.digest = (select k.digest from headrace.schedule_code k where k.schedule = r.name
                          order by k.generation desc limit 1)
        order by r.name
    loop
        select s.declared, s.enabled, s.edited_at into known from headrace.schedule s where s.name = c.name;
        if not found then
            change := 'created';
        elsif known.declared is null then
            change := 'taken over from one that was made at run time';
        elsif known.declared <> c.digest then
            change := case when known.edited_at is null then 'changed' else 'changed, and an operator''s edit undone' end;
        elsif not known.enabled then
            change := 'enabled: code declares it again';
        else
            continue;
        end if;
        perform headrace.write_schedule(c.fields, c.digest, null, false, null);
        schedule := c.name;
        return next;
    end loop;
    for c in
        update headrace.schedule s
        set enabled = false
        where s.declared is not null and s.enabled and s.task = any(tasks)
          and not exists (select from headrace.schedule_code k where k.schedule = s.name)
        returning s.name
    loop
        update headrace.schedule_due d set revision = d.revision + 1, next_due = null where d.schedule = c.name;
        schedule := c.name;
        change := 'disabled: no code that runs declares it';
        return next;
    end loop;
end
$$;

CREATE FUNCTION headrace.delete_jobs(ids uuid[]) RETURNS SETOF uuid
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_custom_plan'
    AS $$
declare
    gone uuid[];
    since timestamptz := headrace.uuid7_floor_of(delete_jobs.ids);
begin
    with locked as (
        select j.id from headrace.job j
        where j.id = any(delete_jobs.ids) and j.state <> 'running' order by j.id for update skip locked
    ), unfinished as (
        delete from headrace.job j using locked l where j.id = l.id returning j.id, j.workflow_id
    ), told as (
        insert into headrace.workflow_change (workflow_id, job_id, state)
        select u.workflow_id, u.id, 'cancelled' from unfinished u where u.workflow_id is not null
    ), finished as (
        delete from headrace.job_history h where h.id = any(delete_jobs.ids) and h.finished_at >= since returning h.id
    )
    select array_agg(d.id) into gone from (select u.id from unfinished u union all select f.id from finished f) d;
    delete from headrace.attempt a where a.job_id = any(gone) and a.finished_at >= since;
    delete from headrace.step s where s.job_id = any(gone) and s.recorded_at >= since;
    delete from headrace.job_log l where l.job_id = any(gone) and l.logged_at >= since;
    delete from headrace.payload p where p.job_id = any(gone) and p.created_at >= since;
    delete from headrace.job_progress g where g.job_id = any(gone);
    return query select unnest(gone);
end
$$;

CREATE FUNCTION headrace.drop_audit_partitions(as_of timestamp with time zone DEFAULT now()) RETURNS SETOF text
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET lock_timeout TO '100ms'
    AS $$
declare
    name text;
    keep constant interval := (select i.audit_age from headrace.instance i);
begin
    for name in
        select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid
        where i.inhparent = 'headrace.audit'::regclass
          and (to_date(right(c.relname, 6), 'YYYYMM') + interval '1 month') at time zone 'utc' + keep <= as_of
        order by 1
    loop
        begin
            execute format('drop table headrace.%I', name);
            return next name;
        exception when lock_not_available then
            null;
        end;
    end loop;
end
$$;

CREATE FUNCTION headrace.drop_partition(partition_name text, as_of timestamp with time zone DEFAULT now()) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET lock_timeout TO '100ms'
    AS $$
declare
    p record;
    referred boolean;
begin
    select * into p from headrace.list_partitions() l where l.name = partition_name;
    if not found then
        return false;
    end if;
    if p.day + 1 + coalesce(p.keep, interval '0') > (as_of at time zone 'utc') then
        return false;
    end if;
    if p.parent in ('payload', 'step') then
        -- Not while a job, finished or not, keeps its arguments or its steps there.
        execute format(
            'select exists (select from headrace.%I x
                            where (select true from headrace.job j where j.id = x.job_id)
                               or (select true from headrace.job_history h where h.id = x.job_id limit 1))',
            partition_name) into referred;
        if referred then
            return false;
        end if;
    end if;
    execute format('drop table headrace.%I', partition_name);
    return true;
exception when lock_not_available then
    return false;
end
$$;

CREATE FUNCTION headrace.emit(event text, payload jsonb DEFAULT NULL::jsonb, keep interval DEFAULT '30 days'::interval) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
#variable_conflict use_column
begin
    if coalesce(event, '') = '' or octet_length(event) > 300 then
        raise exception using errcode = 'HR003',
            message = format('the name of an event must have 1 to 300 bytes, not %s: %s', coalesce(octet_length(event), 0), left(event, 100));
    end if;
    -- JSONB's text has spaces that a client's has not: twice the 256 KiB that clients hold to.
    if octet_length(payload::text) > 524288 then
        raise exception using errcode = 'HR003',
            message = format('the payload of event "%s" is %s bytes long, at most 524288 are allowed', event, octet_length(payload::text));
    end if;
    if keep <= interval '0' then
        raise exception using errcode = 'HR003', message = format('event "%s": keep must be more than nothing, not %s', event, keep);
    end if;
    insert into headrace.event as e (name, payload, expires_at) values (emit.event, emit.payload, now() + emit.keep)
    on conflict (name) do update
        set payload = excluded.payload, emitted_at = excluded.emitted_at, expires_at = excluded.expires_at, delivered = false
        where e.expires_at <= now();
    return found;
end
$$;

CREATE FUNCTION headrace.enqueue(task text, args jsonb DEFAULT '{}'::jsonb, queue text DEFAULT NULL::text, priority smallint DEFAULT NULL::smallint, delay interval DEFAULT NULL::interval, run_at timestamp with time zone DEFAULT NULL::timestamp with time zone, expires_at timestamp with time zone DEFAULT NULL::timestamp with time zone, max_attempts smallint DEFAULT NULL::smallint, unique_key text DEFAULT NULL::text, unique_scope text DEFAULT NULL::text, unique_for interval DEFAULT NULL::interval, on_conflict text DEFAULT NULL::text, tenant text DEFAULT NULL::text, correlation_id text DEFAULT NULL::text, tags text[] DEFAULT NULL::text[], metadata jsonb DEFAULT NULL::jsonb) RETURNS uuid
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
    select e.job_id from headrace.enqueue_jobs(jsonb_build_array(jsonb_strip_nulls(jsonb_build_object(
        'task', task, 'queue', queue, 'priority', priority,
        'delay_s', extract(epoch from delay), 'run_at', run_at, 'expires_at', expires_at,
        'max_attempts', max_attempts, 'unique_key', unique_key, 'unique_scope', unique_scope,
        'unique_for_s', extract(epoch from unique_for), 'on_conflict', on_conflict,
        'tenant', tenant, 'correlation_id', correlation_id, 'tags', to_jsonb(tags)))
        || jsonb_build_object('args', args, 'metadata', metadata))) e
$$;

CREATE FUNCTION headrace.enqueue_deliveries(after bigint, chunk integer) RETURNS TABLE(last bigint, jobs integer, deliveries integer)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_custom_plan'
    AS $$
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

CREATE FUNCTION headrace.enqueue_jobs(jobs jsonb) RETURNS TABLE(ordinal bigint, job_id uuid, existed boolean)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_custom_plan'
    AS $$
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

CREATE FUNCTION headrace.enqueue_ticks(jobs jsonb[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
    job jsonb;
begin
    if cardinality(jobs) = 0 then
        return;
    end if;
    begin
        perform headrace.enqueue_jobs(to_jsonb(jobs));
        return;
    exception when sqlstate 'HR001' or sqlstate 'HR003' then
        null;
    end;
    foreach job in array jobs loop
        begin
            perform headrace.enqueue_jobs(jsonb_build_array(job));
        exception when sqlstate 'HR001' or sqlstate 'HR003' then
            update headrace.tick t
            set outcome = 'refused', detail = sqlerrm, job_id = null
            where t.schedule = job #>> '{metadata,schedule,name}' and t.job_id = (job ->> 'id')::uuid
              and t.nominal = (job #>> '{metadata,schedule,nominal}')::timestamp;
            update headrace.schedule_due d
            set open_jobs = array_remove(d.open_jobs, (job ->> 'id')::uuid)
            where d.schedule = job #>> '{metadata,schedule,name}' and (job ->> 'id')::uuid = any(d.open_jobs);
        end;
    end loop;
end
$$;

CREATE FUNCTION headrace.error_place(error jsonb) RETURNS text
    LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
declare
    blocks text[] := string_to_array(error ->> 'traceback', 'Traceback (most recent call last)');
    frames text[];
    frame text;
    path text;
    place text;
begin
    -- Of a chain of exceptions the last one is what ended the attempt.
    frames := string_to_array(blocks[cardinality(blocks)], 'File "');
    for i in reverse coalesce(cardinality(frames), 0) .. 2 loop
        frame := split_part(frames[i], E'\n', 1);
        continue when frame not like '%", line %, in %';
        path := replace(split_part(frame, '"', 1), E'\\', '/');
        if place is null or not (path ~ '/(site|dist)-packages/|/lib/python\d|^<') then
            place := regexp_replace(path, '^.*/(?=[^/]+/[^/]+$)', '') || ' in ' || split_part(frame, ', in ', 2);
            exit when not (path ~ '/(site|dist)-packages/|/lib/python\d|^<');
        end if;
    end loop;
    return place;
end
$_$;

CREATE FUNCTION headrace.failure_of(error jsonb, task text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$
    select left(md5(coalesce(error ->> 'type', error ->> 'kind', '') || ' at ' || coalesce(headrace.error_place(error), task)), 12)
$$;

CREATE FUNCTION headrace.find_args(job uuid, created timestamp with time zone) RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
begin
    return (select p.args from headrace.payload p where p.job_id = job and p.created_at = created);
end
$$;

CREATE FUNCTION headrace.find_lanes(queue text, after_lane text, after_rank integer, most integer) RETURNS TABLE(lane text, rank integer)
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET jit TO 'off'
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
#variable_conflict use_column
begin
    return query
    with recursive found (lane, rank, number) as (
        (select j.lane, -j.priority::integer, 1
         from headrace.job j
         where j.queue = find_lanes.queue and j.position is not null and j.suspicion = 0 and j.lane is not null
           and (j.lane, -j.priority::integer) > (after_lane collate "C", after_rank)
         order by j.lane, (-j.priority::integer), j.position
         limit 1)
        union all
        select n.lane, n.rank, f.number + 1
        from found f
        cross join lateral (
            select j.lane, -j.priority::integer as rank
            from headrace.job j
            where j.queue = find_lanes.queue and j.position is not null and j.suspicion = 0 and j.lane is not null
              and (j.lane, -j.priority::integer) > (f.lane, f.rank)
            order by j.lane, (-j.priority::integer), j.position
            limit 1) n
        where f.number < most
    )
    select f.lane, f.rank from found f;
end
$$;

CREATE FUNCTION headrace.finish_jobs(worker bigint, ids uuid[], runs integer[], outcomes text[], results text[], errors text[], progresses text[]) RETURNS SETOF uuid
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET enable_nestloop TO 'off'
    SET enable_mergejoin TO 'off'
    SET jit TO 'off'
    AS $$
begin
    if worker is null or exists (select from unnest(progresses) p where p is not null) then
        delete from headrace.job_progress g where g.job_id = any(ids);
    end if;
    return query
    with gone as (
        delete from headrace.job j
        using unnest(ids, runs, outcomes, results, errors, progresses) as o(id, run, outcome, result, error, progress)
        where j.id = any(ids) and j.id = o.id and j.run = o.run
          and (worker is null or (j.worker_id = worker and j.state = 'running'))
          and (j.cancel_reason is not null or o.outcome in ('succeeded', 'failed', 'cancelled'))
        returning j.*, o.result, case when o.outcome <> 'waiting' then o.error end as error, o.progress,
            (case when o.outcome = 'succeeded' or (o.outcome = 'failed' and j.cancel_reason is null)
                  then o.outcome else 'cancelled' end)::headrace.job_state as final
    ), told as (
        insert into headrace.workflow_change (workflow_id, job_id, state, result)
        select g.workflow_id, g.id, g.final, case when g.feeds and g.final = 'succeeded' then g.result::jsonb end
        from gone g where g.workflow_id is not null
    ), freed as (
        insert into headrace.flow_release (queues, lanes, outcomes, claimed_ats)
        select array_agg(distinct g.queue), array_agg(g.lane), array_agg(g.final::text), array_agg(g.claimed_at)
        from gone g where g.lane is not null and g.state = 'running'
        having count(*) > 0
    ), hooked as (
        insert into headrace.webhook_due (job)
        select jsonb_strip_nulls(jsonb_build_object(
            'id', g.id, 'run', g.run, 'task', g.task, 'queue', g.queue, 'state', g.final, 'tenant', g.tenant,
            'attempts', g.attempts + (g.state = 'running' and g.final <> 'cancelled')::integer, 'max_attempts', g.max_attempts,
            'created_at', g.created_at, 'finished_at', now(), 'correlation_id', g.correlation_id, 'tags', g.tags,
            'webhook', g.metadata ->> 'headrace.webhook'))
        from gone g
        where (select true from headrace.webhook limit 1) and g.task <> 'headrace.webhook'
          and (array[g.task, '*'] && array(select unnest(w.tasks) from headrace.webhook w)
               or g.metadata ->> 'headrace.webhook' is not null)
        order by g.id
    )
    insert into headrace.job_history (
        id, state, retention, bounded, finished_at, claimed_at, created_at, run_at, expires_at, worker_id, run, priority,
        attempts, max_attempts, queue, task, args, result, error, progress, unique_key, tenant, correlation_id, tags, metadata,
        workflow_id, feeds, inputs)
    select g.id, g.final, headrace.retention_class(k.age),
           k.count is not null or k.age < headrace.class_age(headrace.retention_class(k.age)),
           now(), g.claimed_at, g.created_at, nullif(g.run_at, g.created_at), g.expires_at, g.worker_id, g.run, g.priority,
           g.attempts + (g.state = 'running' and g.final <> 'cancelled')::integer, g.max_attempts, g.queue, g.task, g.args,
           g.result::jsonb,
           coalesce(g.error::jsonb, case when g.cancel_reason is not null and g.final = 'cancelled'
               then jsonb_build_object('kind', 'cancelled', 'message', g.cancel_reason) end),
           g.progress::jsonb, g.unique_key, g.tenant, g.correlation_id, g.tags, g.metadata, g.workflow_id, g.feeds, g.inputs
    from gone g
    left join headrace.task t on t.name = g.task
    cross join lateral (
        select case g.final when 'succeeded' then coalesce(t.succeeded_age, interval '7 days')
                            when 'failed' then coalesce(t.failed_age, interval '90 days')
                            else coalesce(t.cancelled_age, interval '7 days') end as age,
               case g.final when 'succeeded' then t.succeeded_count
                            when 'failed' then t.failed_count
                            else t.cancelled_count end as count) k
    order by g.id
    returning id;
end
$$;

CREATE FUNCTION headrace.fold_releases(moment timestamp with time zone) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET enable_nestloop TO 'off'
    SET enable_mergejoin TO 'off'
    SET jit TO 'off'
    AS $$
begin
    with gone as (
        delete from headrace.flow_release returning lanes, outcomes, claimed_ats
    ), ended as (
        select e.lane, e.outcome, e.claimed_at, count(*) as jobs
        from gone g cross join lateral unnest(g.lanes, g.outcomes, g.claimed_ats) as e(lane, outcome, claimed_at)
        group by e.lane, e.outcome, e.claimed_at
    ), counted as (
        select (p.pair ->> 0)::bigint as limit_id, p.pair ->> 1 as key, e.outcome, e.claimed_at, sum(e.jobs)::integer as jobs
        from ended e cross join lateral jsonb_array_elements(e.lane::jsonb - 0) as p(pair)
        group by 1, 2, 3, 4
    ), summed as materialized (
        -- What was started before a breaker came to its state says nothing about it.
        select c.limit_id, c.key, sum(c.jobs)::integer as jobs,
               coalesce(sum(c.jobs) filter (where c.outcome = 'succeeded' and c.claimed_at >= g.since), 0)::integer as succeeded,
               coalesce(sum(c.jobs) filter (where c.outcome in ('failed', 'retried') and c.claimed_at >= g.since), 0)::integer
                   as failed,
               coalesce(sum(c.jobs) filter (where c.outcome not in ('succeeded', 'failed', 'retried')
                                                  and c.claimed_at >= g.since), 0)::integer as neither
        from counted c
        cross join lateral (
            select f.since from headrace.flow_gate f where f.limit_id = c.limit_id and f.key = c.key limit 1) g
        group by c.limit_id, c.key
    )
    insert into headrace.flow_gate as g (limit_id, key, held, succeeded, failed, probes)
    select s.limit_id, s.key, -s.jobs, s.succeeded, s.failed, s.neither from summed s
    on conflict (limit_id, key) do update
    set held = g.held + excluded.held, succeeded = g.succeeded + excluded.succeeded, failed = g.failed + excluded.failed,
        probes = case when g.state = 'half_open' then greatest(0, g.probes - excluded.probes) else g.probes end;
    if exists (select from headrace.flow_limit m where m.kind = 'breaker') then
        perform headrace.turn_breakers(moment);
    end if;
end
$$;

CREATE FUNCTION headrace.force_breaker(name text, state text) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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

CREATE FUNCTION headrace.grant_access(role name, access text) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
    part name;
    schema name := (select relnamespace::regnamespace from pg_class where oid = 'headrace.job'::regclass);
begin
    execute format('grant usage on schema %I to %I', schema, role);
    case access
    when 'worker', 'web' then
        execute format('grant select, insert, update, delete on all tables in schema %I to %I', schema, role);
        execute format('grant usage, select on all sequences in schema %I to %I', schema, role);
        execute format('grant execute on all functions in schema %I to %I', schema, role);
        execute format('revoke insert, update, delete on headrace.audit from %I', role);
        for part in select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid
                    where i.inhparent = 'headrace.audit'::regclass
        loop
            execute format('revoke insert, update, delete on headrace.%I from %I', part, role);
        end loop;
    when 'enqueuer' then
        execute format('grant execute on function headrace.enqueue, headrace.enqueue_jobs, headrace.emit, headrace.start_workflow, '
                       'headrace.add_to_workflow to %I', role);
    when 'viewer' then
        execute format('grant select on all tables in schema %I to %I', schema, role);
        execute format('grant execute on function headrace.uuid7_floor, headrace.uuid7_floor_of, headrace.lane_of, headrace.rate_ahead, '
                       'headrace.find_args, headrace.failure_of, headrace.error_place to %I', role);
    else
        raise exception using errcode = 'HR003',
            message = format('access must be worker, web, enqueuer or viewer, not "%s"', access);
    end case;
    if access = 'viewer' then
        execute format('revoke all on headrace.webhook_secret from %I', role);
    end if;
    if access in ('worker', 'viewer') then
        execute format('revoke all on headrace.access_user, headrace.access_key, headrace.access_session, headrace.access_link, '
                       'headrace.access_try from %I', role);
    end if;
end
$$;

CREATE FUNCTION headrace.hand_back_unheld(worker bigint, held uuid[]) RETURNS SETOF uuid
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_custom_plan'
    AS $$
declare
    ids uuid[];
    runs integer[];
    nothing text[];
begin
    perform from headrace.worker w where w.id = worker for update nowait;
    select array_agg(j.id), array_agg(j.run) into ids, runs
    from headrace.job j
    where j.position is not null and ((j.suspicion = 0 and j.lane is null) or (j.suspicion = 0 and j.lane is not null) or j.suspicion > 0) -- three indexes
      and j.state = 'running' and j.worker_id = worker and j.id <> all(held);
    if ids is null then
        return;
    end if;
    nothing := array_fill(null::text, array[cardinality(ids)]);
    return query
    select i from unnest(ids) i
    except
    select lost from headrace.settle_jobs(worker, ids, runs, array_fill('handed_back'::text, array[cardinality(ids)]),
                                          array_fill(0::double precision, array[cardinality(ids)]),
                                          nothing, nothing, nothing) lost;
end
$$;

CREATE FUNCTION headrace.hold_attempt(worker bigint, job_id uuid, run integer, patient boolean DEFAULT false) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
    if not patient then
        perform set_config('lock_timeout', '200ms', true);
    end if;
    perform from headrace.job j
    where j.id = hold_attempt.job_id and j.run = hold_attempt.run and j.worker_id = worker and j.state = 'running'
    for no key update;
    return found;
end
$$;

CREATE FUNCTION headrace.insert_requests(requests headrace.request[]) RETURNS SETOF uuid
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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

CREATE FUNCTION headrace.keep_audit() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
    raise exception using errcode = 'HR005',
        message = 'the audit log is only added to: nothing in it can be changed or deleted';
end
$$;

CREATE FUNCTION headrace.lane_of(queue text, task text, tenant text, args jsonb, job_id uuid, created_at timestamp with time zone) RETURNS TABLE(lane text, limited boolean)
    LANGUAGE sql STABLE
    AS $$
    select (jsonb_build_array(lane_of.task)
            || coalesce(jsonb_agg(jsonb_build_array(m.id, case when length(k.key) <= 120 then k.key
                                                               else left(k.key, 80) || ' ' || md5(k.key) end) order by m.id)
                        filter (where m.kind <> 'ageing'), '[]'))::text,
           count(*) > 0
    from headrace.flow_limit m
    cross join lateral (
        select coalesce(case when m.key is null then ''
                             when m.key = 'tenant' then lane_of.tenant
                             else coalesce(lane_of.args, (
                                 select p.args from headrace.payload p
                                 where p.job_id = lane_of.job_id and p.created_at = lane_of.created_at)) ->> m.key end, '') as key) k
    where m.enabled and (m.queue = lane_of.queue or lane_of.task = any(m.tasks))
$$;

CREATE FUNCTION headrace.leave_lanes(line text, chunk integer) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_custom_plan'
    AS $$
declare
    moved integer;
begin
    update headrace.job j
    set lane = null,
        position = case when j.position > 0 then j.position - 4611686018427387904 else j.position end
    where j.id = any(array(
        select w.id from headrace.job w
        where w.queue = line and w.lane is not null and w.position is not null and w.suspicion = 0 and w.state = 'queued'
        limit chunk
        for no key update skip locked));
    get diagnostics moved = row_count;
    if moved < chunk then
        delete from headrace.flow_queue f where f.queue = line;
    end if;
    perform headrace.wake_queues(array[line]);
end
$$;

CREATE FUNCTION headrace.list_partitions() RETURNS TABLE(name text, parent text, day date, keep interval)
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
    select c.relname, p.relname, to_date(right(c.relname, 8), 'YYYYMMDD'),
           case when p.relname like 'job\_history\_%' then headrace.class_age(substr(p.relname, 13)::headrace.retention)
                when p.relname in ('attempt', 'job_log', 'step') then headrace.class_age('long') end
    from pg_inherits i
    join pg_class c on c.oid = i.inhrelid
    join pg_class p on p.oid = i.inhparent
    join pg_namespace n on n.oid = p.relnamespace and n.oid = (select relnamespace from pg_class where oid = 'headrace.job'::regclass)
    where p.relname in ('job_history_short', 'job_history_normal', 'job_history_long', 'attempt', 'job_log', 'payload', 'step')
$$;

CREATE FUNCTION headrace.load_steps(job_id uuid, as_of timestamp with time zone DEFAULT now()) RETURNS TABLE(ordinal integer, kind text, name text, run integer, outcome text, result text, left_s double precision)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_custom_plan'
    AS $$
declare
    since timestamptz := headrace.uuid7_floor(job_id);
    until timestamptz := greatest(now(), as_of) + interval '1 day';
begin
    return query
    select s.ordinal, s.kind, s.name, s.run, s.outcome, s.result::text,
           extract(epoch from s.wakes_at - as_of)::double precision
    from headrace.step s
    where s.job_id = load_steps.job_id and s.recorded_at >= since and s.recorded_at < until
    order by s.ordinal;
end
$$;

CREATE FUNCTION headrace.lock_key() RETURNS integer
    LANGUAGE sql STABLE PARALLEL SAFE
    AS $$
    select ('headrace.job'::regclass::oid::bigint % 2147483647)::integer
$$;

CREATE FUNCTION headrace.mark_deploy(label text, deployed_by text, by_worker boolean, deployed_at timestamp with time zone DEFAULT NULL::timestamp with time zone) RETURNS boolean
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
    with added as (
        insert into headrace.deploy (label, deployed_by, automatic, deployed_at)
        select mark_deploy.label, mark_deploy.deployed_by, mark_deploy.by_worker, coalesce(mark_deploy.deployed_at, now())
        where not (by_worker and exists (select from headrace.deploy d where d.label = mark_deploy.label))
        on conflict (label) where automatic do nothing
        returning id
    )
    select exists (select from added)
$$;

CREATE FUNCTION headrace.mark_limited_queues(ids uuid[]) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET lock_timeout TO '50ms'
    AS $$
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

CREATE FUNCTION headrace.move_nodes(workflows uuid[], ready uuid[]) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET enable_nestloop TO 'off'
    SET enable_mergejoin TO 'off'
    SET jit TO 'off'
    AS $$
declare
    ids uuid[];
    delays interval[];
    barriers uuid[];
    released uuid[];
    woken text[];
    runs integer[];
    errors text[];
    nothing text[];
    told bigint;
    moved boolean;
begin
    ready := ready || array(select n.job_id from headrace.workflow_node n
                            where n.workflow_id = any(workflows) and n.move = 'release');
    if cardinality(ready) > 0 then
        select array_agg(n.job_id) filter (where n.kind <> 'barrier'), array_agg(n.delay) filter (where n.kind <> 'barrier'),
               array_agg(n.job_id) filter (where n.kind = 'barrier')
        into ids, delays, barriers
        from headrace.workflow_node n
        where n.job_id = any(ready) and n.state = 'blocked' and n.doomed_by is null and n.move is distinct from 'cancel';
        with free as materialized (
            select j.id from headrace.job j
            where j.id = any(ids) and j.state = 'blocked' and j.blocked_by = 'parents'
            order by j.id for no key update skip locked
        ), due as materialized (
            select f.id, greatest(j.run_at, now() + coalesce(d.delay, '0')) as run_at
            from free f join unnest(ids, delays) as d(id, delay) on d.id = f.id
            join headrace.job j on j.id = f.id where j.id = any(ids)
        ), numbered as materialized (
            select d.id, d.run_at, case when d.run_at <= now() then nextval('headrace.job_position') end as position
            from (select d.id, d.run_at from due d order by d.id) d
        ), changed as (
            update headrace.job j
            set state = (case when n.position is null then 'scheduled' else 'queued' end)::headrace.job_state,
                position = n.position, run_at = n.run_at, blocked_by = null
            from numbered n where j.id = n.id and j.id = any(ids)
            returning j.id, j.queue, n.position
        )
        select array_agg(c.id), array_agg(distinct c.queue) filter (where c.position is not null) into released, woken
        from changed c;
        perform headrace.wake_queues(woken) where woken is not null;
        update headrace.workflow_node n
        set pending = 0,
            state = (case when n.job_id = any(released) then 'queued' else 'blocked' end)::headrace.job_state,
            move = case when n.job_id = any(released) then null else 'release' end
        where n.job_id = any(ids) and (released is not null or n.move is null);
        update headrace.workflow w
        set blocked = w.blocked - c.count, queued = w.queued + c.count
        from (select n.workflow_id, count(*) as count from headrace.workflow_node n
              where n.job_id = any(released) and n.kind = 'job' group by n.workflow_id) c
        where w.id = c.workflow_id and w.id = any(workflows);
    end if;
    insert into headrace.workflow_change (workflow_id, job_id, state)
    select n.workflow_id, n.job_id, 'succeeded'::headrace.job_state from headrace.workflow_node n where n.job_id = any(barriers)
    union all
    select n.workflow_id, n.job_id, 'cancelled'::headrace.job_state from headrace.workflow_node n
    where n.workflow_id = any(workflows) and n.move = 'cancel' and n.kind = 'barrier';
    get diagnostics told = row_count;
    moved := told > 0;

    ids := array(select n.job_id from headrace.workflow_node n
                 where n.workflow_id = any(workflows) and n.move = 'cancel' and n.kind <> 'barrier');
    if cardinality(ids) = 0 then
        return moved;
    end if;
    ids := array(select j.id from headrace.job j where j.id = any(ids) order by j.id for update skip locked);
    if exists (select from headrace.job j where j.id = any(ids) and j.state = 'running') then
        update headrace.job j
        set cancel_reason = (select coalesce(w.cancel_reason, 'cancelled') from headrace.workflow w where w.id = j.workflow_id)
        where j.id = any(ids) and j.state = 'running';
        update headrace.workflow_node n set move = null
        where n.job_id = any(array(select j.id from headrace.job j where j.id = any(ids) and j.state = 'running'));
        perform pg_notify('headrace_cancel', '');
    end if;
    select array_agg(j.id), array_agg(j.run), array_agg(jsonb_build_object('kind', 'cancelled', 'message', (
               select coalesce(
                   (select format('%s failed', coalesce('node "' || d.name || '"', 'job ' || d.job_id))
                    from headrace.workflow_node d where d.job_id = n.doomed_by and d.state = 'failed'),
                   w.cancel_reason,
                   (select format('%s was cancelled', coalesce('node "' || d.name || '"', 'job ' || d.job_id))
                    from headrace.workflow_node d where d.job_id = n.doomed_by),
                   'cancelled')
               from headrace.workflow_node n, headrace.workflow w where n.job_id = j.id and w.id = j.workflow_id))::text)
    into ids, runs, errors
    from headrace.job j where j.id = any(ids) and j.state <> 'running';
    if ids is null then
        return moved;
    end if;
    nothing := array_fill(null::text, array[cardinality(ids)]);
    perform headrace.finish_jobs(null, ids, runs, array_fill('cancelled'::text, array[cardinality(ids)]), nothing, errors, nothing);
    return true;
end
$$;

CREATE FUNCTION headrace.place_unique_job(request headrace.request, OUT job_id uuid, OUT existed boolean) RETURNS record
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
    holder record;
    large boolean;
begin
    loop
        existed := true;
        if request.unique_scope = 'period' then
            -- The key row outlives the job; an expired one is taken over.
            insert into headrace.enqueue_key as k (task, tenant, key, job_id, expires_at)
            values (request.task, coalesce(request.tenant, ''), request.unique_key, request.id, now() + request.unique_for)
            on conflict (task, tenant, key) do update
                set job_id = excluded.job_id, expires_at = excluded.expires_at
                where k.expires_at <= now()
            returning k.job_id into job_id;
            if found then
                request.unique_key := null;
                perform headrace.insert_requests(array[request]);
                existed := false;
                return;
            end if;
            select k.job_id, j.state, j.id is not null as unfinished into holder
            from headrace.enqueue_key k left join headrace.job j on j.id = k.job_id
            where k.task = request.task and k.tenant = coalesce(request.tenant, '') and k.key = request.unique_key;
        else
            select i into job_id from headrace.insert_requests(array[request]) i;
            if found then
                existed := false;
                return;
            end if;
            select j.id as job_id, j.state, true as unfinished into holder
            from headrace.job j
            where j.task = request.task and coalesce(j.tenant, '') = coalesce(request.tenant, '')
              and j.unique_key = request.unique_key;
        end if;
        -- The same request again: its job is there, whatever has become of its key.
        if holder.job_id = request.id or exists (select from headrace.job j where j.id = request.id) then
            job_id := request.id;
            existed := false;
            return;
        end if;
        continue when holder.job_id is null;
        job_id := holder.job_id;
        if request.on_conflict = 'keep' or not holder.unfinished then
            exit when request.on_conflict <> 'reject';
        end if;
        if request.on_conflict = 'reject' then
            raise exception using
                errcode = 'HR002',
                message = format('unique key "%s" of task "%s" is held by job %s', request.unique_key, request.task, job_id),
                detail = job_id::text;
        end if;
        -- replace and reschedule change a job that waits; one that runs keeps what it runs with.
        -- It joins the line again behind those that wait: its time is new, and scans may start behind its old position.
        -- Arguments that move to the payload take today's date: the partition of the job's own day may be gone.
        large := request.on_conflict = 'replace' and octet_length(request.args::text) > 2048;
        update headrace.job j
        set args = case when large then null when request.on_conflict = 'replace' then request.args else j.args end,
            created_at = case when large then now() else j.created_at end,
            run_at = request.run_at,
            lane = case when request.on_conflict = 'replace' then null else j.lane end, -- it may have another key now
            state = (case when request.due then 'queued' else 'scheduled' end)::headrace.job_state,
            position = case when request.due then nextval('headrace.job_position') end
        where j.id = holder.job_id and j.state in ('queued', 'scheduled');
        exit when not found;
        if large then
            delete from headrace.payload p where p.job_id = holder.job_id;
            insert into headrace.payload (job_id, created_at, args) values (holder.job_id, now(), request.args);
        end if;
        exit;
    end loop;
end
$$;

CREATE FUNCTION headrace.prune_access(idle_s double precision, absolute_s double precision) RETURNS void
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
    delete from headrace.access_session s
    where s.seen_at < now() - make_interval(secs => idle_s) or s.created_at < now() - make_interval(secs => absolute_s);
    delete from headrace.access_link l where l.expires_at < now();
    delete from headrace.access_try t where t.since < now() - interval '1 day';
$$;

CREATE FUNCTION headrace.prune_workflows(as_of timestamp with time zone, chunk integer) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    AS $$
declare
    old uuid[];
    nodes uuid[];
begin
    old := array(
        select w.id from headrace.workflow w
        where w.finished_at < as_of - headrace.class_age('normal')
          and w.finished_at < as_of - headrace.class_age(
              (case w.state when 'failed' then 'long' else 'normal' end)::headrace.retention)
        order by w.finished_at limit chunk for update skip locked);
    nodes := array(select n.job_id from headrace.workflow_node n where n.workflow_id = any(old));
    delete from headrace.dependency d where d.parent = any(nodes);
    delete from headrace.workflow_node n where n.job_id = any(nodes);
    delete from headrace.workflow w where w.id = any(old);
    return cardinality(old);
end
$$;

CREATE FUNCTION headrace.rate_ahead(tat_us bigint, old_step_us bigint, step_us bigint, changed_us bigint, now_us bigint) RETURNS bigint
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$
    select case when old_step_us = step_us then greatest(0, tat_us - now_us)
                else greatest(0, changed_us + (greatest(0, tat_us - changed_us)::numeric * step_us / old_step_us)::bigint - now_us) end
$$;

CREATE FUNCTION headrace.read_input(workflow uuid, source jsonb) RETURNS jsonb
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
    return coalesce(case
        when source ? 'node' then (select n.result from headrace.workflow_node n where n.job_id = (source ->> 'node')::uuid and n.workflow_id = workflow)
        when source ? 'each' then (
            select jsonb_agg(p.result order by o.ordinality)
            from headrace.workflow_node n cross join lateral unnest(n.parents) with ordinality as o(id)
            left join headrace.workflow_node p on p.job_id = o.id and p.workflow_id = workflow
            where n.job_id = (source ->> 'each')::uuid and n.workflow_id = workflow)
        when source ? 'list' then (
            select jsonb_agg(headrace.read_input(workflow, l.value) order by l.ordinality)
            from jsonb_array_elements(source -> 'list') with ordinality l)
        end, 'null');
end
$$;

CREATE FUNCTION headrace.read_requests(jobs jsonb) RETURNS SETOF headrace.request
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
    wrong text;
begin
    if jsonb_typeof(jobs) is distinct from 'array' then
        raise exception using errcode = 'HR003', message = 'jobs to enqueue must be a JSON array of objects';
    end if;
    select w.wrong into wrong
    from jsonb_array_elements(jobs)
    cross join lateral (select case
        when coalesce(value ->> 'task', '') = '' then 'a job needs a task: ' || left(value::text, 200)
        when octet_length(value ->> 'task') > 300 or octet_length(value ->> 'queue') > 200
             or octet_length(value ->> 'tenant') > 200 or octet_length(value ->> 'unique_key') > 1000
            then 'a name is too long: a task may have 300 bytes, a queue and a tenant 200, a unique key 1000: ' || left(value::text, 200)
        when not isfinite((value ->> 'run_at')::timestamptz) or not isfinite((value ->> 'expires_at')::timestamptz)
            then format('run_at and expires_at of task "%s" must be finite', value ->> 'task')
        when jsonb_typeof(value -> 'args') <> 'object'
            then format('args of task "%s" must be a JSON object of its parameters', value ->> 'task')
        -- JSONB's text has spaces that a client's has not: twice the 1 MiB that clients hold to.
        when octet_length((value -> 'args')::text) > 2097152
            then format('args of task "%s" are %s bytes long, at most 2097152 are allowed', value ->> 'task',
                        octet_length((value -> 'args')::text))
        when substr((value ->> 'id')::uuid::text, 15, 1) <> '7'
            then format('the id of a job must be a UUID of version 7, which tells its time; %s is none', value ->> 'id')
        when value ->> 'unique_scope' <> all('{queued,unfinished,period}')
            then format('unique_scope must be queued, unfinished or period, not "%s"', value ->> 'unique_scope')
        when value ->> 'unique_scope' = 'period' and value ->> 'unique_for_s' is null
            then 'a job that is unique for a period needs unique_for'
        when value ->> 'on_conflict' <> all('{keep,replace,reschedule,reject}')
            then format('on_conflict must be keep, replace, reschedule or reject, not "%s"', value ->> 'on_conflict')
        end as wrong) w
    where w.wrong is not null
    limit 1;
    if wrong is not null then
        raise exception using errcode = 'HR003', message = wrong;
    end if;
    return query
    select r.ordinal, coalesce(r.id, headrace.uuid7()), r.task, coalesce(r.queue, t.queue, 'default'),
           coalesce(r.args, '{}'), coalesce(r.priority, t.priority, 0::smallint),
           coalesce(r.max_attempts, t.max_attempts, 5::smallint),
           w.run_at, w.run_at <= now(),
           coalesce(r.expires_at, now() + make_interval(secs => r.expires_s)),
           r.unique_key, coalesce(r.unique_scope, 'unfinished'), make_interval(secs => r.unique_for_s),
           coalesce(r.on_conflict, 'keep'), r.tenant, r.correlation_id, r.tags, r.metadata
    from rows from (jsonb_to_recordset(jobs) as (
        id uuid, task text, queue text, args jsonb, priority smallint, max_attempts smallint,
        delay_s double precision, run_at timestamptz, expires_s double precision, expires_at timestamptz,
        unique_key text, unique_scope text, unique_for_s double precision, on_conflict text,
        tenant text, correlation_id text, tags text[], metadata jsonb)) with ordinality
        as r(id, task, queue, args, priority, max_attempts, delay_s, run_at, expires_s, expires_at, unique_key,
             unique_scope, unique_for_s, on_conflict, tenant, correlation_id, tags, metadata, ordinal)
    left join headrace.task t on t.name = r.task
    cross join lateral (select coalesce(r.run_at, now() + make_interval(secs => coalesce(r.delay_s, 0))) as run_at) w;
end
$$;

CREATE FUNCTION headrace.reckon_changes(workflows uuid[], since timestamp with time zone) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET enable_nestloop TO 'off'
    SET enable_mergejoin TO 'off'
    SET jit TO 'off'
    AS $$
declare
    final constant headrace.job_state[] := '{succeeded,failed,cancelled}';
    seen bigint[];
    ids uuid[];
    changes bigint[];
    states headrace.job_state[];
    olds headrace.job_state[];
    flipped uuid[];
    deltas integer[];
    linked uuid[];
    ready uuid[] := '{}';
    children uuid[];
    pendings integer[];
    frontier uuid[];
    origins uuid[];
begin
    select array_agg(c.id), array_agg(c.job_id), array_agg(c.state) into seen, ids, states
    from (select c.id, c.job_id, c.state from headrace.workflow_change c
          where c.workflow_id = any(workflows) and c.at >= since limit 10000) c;
    if seen is null then
        return headrace.move_nodes(workflows, ready);
    end if;

    -- The last change of each node, if it is news.
    select array_agg(n.job_id), array_agg(l.id), array_agg(l.state), array_agg(n.state) into ids, changes, states, olds
    from (select distinct on (c.job_id) c.job_id, c.id, c.state
          from unnest(seen, ids, states) as c(id, job_id, state) order by c.job_id, c.id desc) l
    join headrace.workflow_node n on n.job_id = l.job_id
    where n.job_id = any(ids) and n.change_id < l.id;
    update headrace.workflow_node n
    set state = o.state, change_id = o.id, move = null, doomed_by = case when o.state = 'blocked' then null else n.doomed_by end,
        result = case when n.feeds then c.result end
    from unnest(ids, changes, states) as o(job_id, id, state)
    left join headrace.workflow_change c on c.id = o.id and c.workflow_id = any(workflows) and c.at >= since
    where n.job_id = any(ids) and n.job_id = o.job_id;
    delete from headrace.workflow_change c using unnest(seen) s(id)
    where c.workflow_id = any(workflows) and c.at >= since and c.id = s.id;
    if ids is null then
        return true;
    end if;

    update headrace.workflow w
    set blocked = w.blocked + c.blocked, queued = w.queued + c.queued, succeeded = w.succeeded + c.succeeded,
        failed = w.failed + c.failed, cancelled = w.cancelled + c.cancelled,
        -- Retried: it goes on, if only to finish in another state, as after a retry that was cancelled at once.
        state = case when c.goes_on or w.blocked + c.blocked + w.queued + c.queued > 0 then 'running' else w.state end,
        finished_at = case when c.goes_on or w.blocked + c.blocked + w.queued + c.queued > 0 then null else w.finished_at end
    from (select n.workflow_id,
                 sum((o.state = 'blocked')::integer - coalesce((o.old = 'blocked')::integer, 0)) as blocked,
                 sum((o.state = 'queued')::integer - coalesce((o.old = 'queued')::integer, 0)) as queued,
                 sum((o.state = 'succeeded')::integer - coalesce((o.old = 'succeeded')::integer, 0)) as succeeded,
                 sum((o.state = 'failed')::integer - coalesce((o.old = 'failed')::integer, 0)) as failed,
                 sum((o.state = 'cancelled')::integer - coalesce((o.old = 'cancelled')::integer, 0)) as cancelled,
                 bool_or(o.old = any(final) and o.state <> o.old) as goes_on
          from unnest(ids, states, olds) as o(job_id, state, old)
          join headrace.workflow_node n on n.job_id = o.job_id
          where n.job_id = any(ids) and n.kind = 'job'
          group by n.workflow_id) c
    where w.id = any(workflows) and w.id = c.workflow_id;

    -- In a workflow that was cancelled nothing new starts.
    update headrace.workflow_node n set move = 'cancel'
    where n.job_id = any(ids) and n.kind in ('job', 'barrier') and n.state in ('blocked', 'queued')
      and n.workflow_id = any(array(select w.id from headrace.workflow w
                                    where w.id = any(workflows) and w.cancel_reason is not null));

    -- Added and revived nodes.
    linked := array(select o.job_id from unnest(ids, states) as o(job_id, state) where o.state = 'blocked');
    if cardinality(linked) > 0 then
        update headrace.workflow_node n
        set pending = (select count(*) from headrace.workflow_node p
                       where p.job_id = any(n.parents) and (p.state is null or p.state <> all(final))),
            doomed_by = (select coalesce(p.doomed_by, p.job_id) from headrace.workflow_node p
                         where p.job_id = any(n.parents) and p.state in ('failed', 'cancelled')
                           and (select w.policy = 'stop' from headrace.workflow w where w.id = n.workflow_id)
                         limit 1)
        where n.job_id = any(linked);
        ready := array(select n.job_id from headrace.workflow_node n
                       where n.job_id = any(linked) and n.pending = 0 and n.doomed_by is null);
        update headrace.workflow_node n set move = 'cancel' where n.job_id = any(linked) and n.doomed_by is not null;
    end if;

    -- Children of nodes that became final, or are not any more.
    select array_agg(o.job_id), array_agg(case when o.state = any(final) then -1 else 1 end) into flipped, deltas
    from unnest(ids, states, olds) as o(job_id, state, old)
    where (o.state = any(final)) <> coalesce(o.old = any(final), false);
    if flipped is not null then
        children := array(select distinct d.child from headrace.dependency d where d.parent = any(flipped));
        select array_agg(n.job_id), array_agg(n.pending + c.delta) into children, pendings
        from (select d.child, sum(f.delta)::integer as delta
              from headrace.dependency d join unnest(flipped, deltas) as f(parent, delta) on f.parent = d.parent
              where d.parent = any(flipped) group by d.child) c
        join headrace.workflow_node n on n.job_id = c.child
        where n.job_id = any(children) and n.state = 'blocked' and not n.job_id = any(linked);
        ready := ready || array(select c.id from unnest(children, pendings) as c(id, pending) where c.pending = 0);
        update headrace.workflow_node n set pending = c.pending, move = nullif(n.move, 'release')
        from unnest(children, pendings) as c(id, pending)
        where n.job_id = any(children) and n.job_id = c.id and c.pending > 0;
        -- A barrier that was passed and has a parent that runs again.
        insert into headrace.workflow_change (workflow_id, job_id, state)
        select n.workflow_id, n.job_id, 'blocked' from headrace.workflow_node n
        where n.kind = 'barrier' and n.state = any(final) and n.job_id = any(array(
            select d.child from headrace.dependency d
            where d.parent = any(array(select f.id from unnest(flipped, deltas) as f(id, delta) where f.delta > 0))));
    end if;

    -- Those that did not succeed, and then those that wait for them, and for those, with the node that began it.
    select array_agg(n.job_id), array_agg(coalesce(n.doomed_by, n.job_id)) into frontier, origins
    from headrace.workflow_node n
    where n.job_id = any(ids) and (n.state in ('failed', 'cancelled') or n.doomed_by is not null)
      and n.workflow_id = any(array(select w.id from headrace.workflow w where w.id = any(workflows) and w.policy = 'stop'));
    while frontier is not null loop
        select array_agg(c.child), array_agg(c.origin) into frontier, origins
        from (select distinct on (d.child) d.child, f.origin
              from headrace.dependency d join unnest(frontier, origins) as f(parent, origin) on f.parent = d.parent
              where d.parent = any(frontier) order by d.child, f.origin) c;
        with doomed as (
            update headrace.workflow_node n set doomed_by = f.origin, move = 'cancel'
            from unnest(frontier, origins) as f(id, origin)
            where n.job_id = any(frontier) and n.job_id = f.id and n.state = 'blocked' and n.doomed_by is null
            returning n.job_id, n.doomed_by
        )
        select array_agg(d.job_id), array_agg(d.doomed_by) into frontier, origins from doomed d;
    end loop;

    perform headrace.move_nodes(workflows, ready);
    return true;
end
$$;

CREATE FUNCTION headrace.record_alerts(rules jsonb, findings jsonb, repeat_s double precision, calm_s double precision, moment timestamp with time zone DEFAULT NULL::timestamp with time zone) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
    at timestamptz := coalesce(moment, now());
    written integer;
begin
    if not pg_try_advisory_xact_lock(headrace.lock_key(), 190) then
        return 0;
    end if;
    insert into headrace.alert as a (rule, subject, detail, since, seen_at)
    select distinct on (f.rule, f.subject) f.rule, f.subject, f.detail, at, at
    from jsonb_to_recordset(findings) as f(rule text, subject text, detail text)
    on conflict (rule, subject) do update set detail = excluded.detail, seen_at = excluded.seen_at;

    with judged as (
        select r.name, r.destinations, r.severity, make_interval(secs => r.lasting_s) as lasting
        from jsonb_to_recordset(rules) as r(name text, destinations text[], severity text, lasting_s double precision)
    ), told as (
        update headrace.alert a
        set raised_at = coalesce(a.raised_at, at), told_at = at
        from judged j
        where a.rule = j.name and a.seen_at = at
          and case when a.raised_at is null then a.since <= at - j.lasting
                   else a.told_at <= at - make_interval(secs => repeat_s) end
        returning case when a.raised_at = at then 'raised' else 'repeated' end as kind,
                  a.rule, a.subject, a.detail, a.since, j.severity, j.destinations
    ), over as (
        delete from headrace.alert a
        using judged j
        where a.rule = j.name and a.seen_at < at
          and (a.raised_at is null or a.seen_at <= at - make_interval(secs => calm_s))
        returning 'recovered' as kind, a.rule, a.subject, a.detail, a.since, j.severity, j.destinations, a.raised_at
    )
    insert into headrace.alert_message (destination, kind, rule, subject, detail, severity, since, created_at, next_at)
    select d.destination, m.kind, m.rule, m.subject, m.detail, m.severity, m.since, at, at
    from (select kind, rule, subject, detail, since, severity, destinations from told
          union all
          select kind, rule, subject, detail, since, severity, destinations from over where raised_at is not null) m
    cross join unnest(m.destinations) as d(destination);
    get diagnostics written = row_count;

    delete from headrace.alert a where a.seen_at < at - interval '7 days'; -- of rules that nobody declares any more
    delete from headrace.alert_message m where m.created_at < at - interval '1 day'; -- nobody knows the destination
    return written;
end
$$;

CREATE FUNCTION headrace.record_audit(by text, source text, address text, action text, kind text, targets text[], count bigint, before jsonb, after jsonb) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
#variable_conflict use_variable
declare
    entry bigint := nextval('headrace.audit_number');
begin
    for attempt in 1..2 loop
        begin
            insert into headrace.audit (id, at, by, source, address, action, kind, targets, count, before, after)
            values (entry, clock_timestamp(), by, source, address, action, kind, targets[1:1000], count, before, after);
            return entry;
        exception when check_violation then -- no partition: no worker has made one for weeks
            if attempt = 2 then
                raise;
            end if;
            perform headrace.create_audit_partitions((now() at time zone 'utc')::date, (now() at time zone 'utc')::date + 1);
        end;
    end loop;
end
$$;

CREATE FUNCTION headrace.record_step(worker bigint, job_id uuid, run integer, ordinal integer, kind text, name text, result text, took_s double precision, wait_s double precision, patient boolean, again boolean, as_of timestamp with time zone DEFAULT now()) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_custom_plan'
    AS $$
begin
    if not headrace.hold_attempt(worker, job_id, run, patient) then
        return false;
    end if;
    -- A statement of its own: it sees what was committed while the one above waited.
    if again and exists (select from headrace.load_steps(job_id) s where s.ordinal = record_step.ordinal) then
        return true;
    end if;
    insert into headrace.step (job_id, ordinal, run, kind, name, outcome, recorded_at, finished_at, wakes_at, took_s, result)
    values (job_id, ordinal, run, kind, name, case when wait_s is null then 'done' else 'waiting' end, now(),
            case when wait_s is null then now() end, as_of + make_interval(secs => wait_s), took_s, result::jsonb);
    return true;
end
$$;

CREATE FUNCTION headrace.recount_gates() RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
    changed integer;
begin
    perform pg_advisory_xact_lock(headrace.lock_key(), 5);
    with holder as (
        select j.lane from headrace.job j where j.lane is not null and j.state = 'running'
        union all
        select e.lane from headrace.flow_release r cross join lateral unnest(r.lanes) as e(lane)
    ), actual as (
        select (p.pair ->> 0)::bigint as limit_id, p.pair ->> 1 as key, count(*)::integer as running
        from holder h cross join lateral jsonb_array_elements(h.lane::jsonb - 0) as p(pair)
        group by 1, 2
    ), missing as (
        insert into headrace.flow_gate (limit_id, key, held)
        select a.limit_id, a.key, a.running
        from actual a join headrace.flow_limit m on m.id = a.limit_id
        on conflict (limit_id, key) do update set held = excluded.held where headrace.flow_gate.held <> excluded.held
        returning 1
    ), idle as (
        update headrace.flow_gate g set held = 0
        where g.held <> 0
          and not exists (select from actual a where a.limit_id = g.limit_id and a.key = g.key collate "C")
        returning 1
    )
    select (select count(*) from missing) + (select count(*) from idle) into changed;
    return changed;
end
$$;

CREATE FUNCTION headrace.release_jobs(worker bigint, ids uuid[], runs integer[], outcomes text[], waits_s double precision[], errors text[]) RETURNS SETOF uuid
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET enable_nestloop TO 'off'
    SET enable_mergejoin TO 'off'
    SET jit TO 'off'
    AS $$
declare
    released uuid[];
    woken text[];
begin
    with held as materialized (
        select j.id, j.run, j.worker_id, j.claimed_at, j.queue, j.lane, o.outcome, o.wait_s, o.error
        from headrace.job j
        join unnest(ids, runs, outcomes, waits_s, errors) as o(id, run, outcome, wait_s, error) on o.id = j.id and o.run = j.run
        where j.id = any(ids) and j.state = 'running' and (worker is null or j.worker_id = worker) and j.cancel_reason is null
          and o.outcome in ('retried', 'snoozed', 'handed_back', 'parked', 'waiting', 'lost')
        order by j.id
        for no key update of j
    ), changed as (
        update headrace.job j
        set state = (case when h.outcome in ('parked', 'waiting') then 'blocked'
                          when h.outcome in ('handed_back', 'lost') or h.wait_s <= 0 then 'queued'
                          else 'scheduled' end)::headrace.job_state,
            position = case when h.outcome in ('handed_back', 'lost')
                            then case when j.position > 0 then j.position - 4611686018427387904 else j.position end
                            when h.outcome not in ('parked', 'waiting') and h.wait_s <= 0 then nextval('headrace.job_position') end,
            run_at = case when h.outcome in ('retried', 'snoozed', 'waiting') then now() + make_interval(secs => h.wait_s)
                          else j.run_at end,
            look_at = case when h.outcome = 'waiting' then now() end,
            attempts = j.attempts + (h.outcome = 'retried')::integer,
            suspicion = case h.outcome when 'lost' then j.suspicion + 1
                                       when 'handed_back' then j.suspicion else 0 end,
            blocked_by = case h.outcome when 'parked' then 'task'
                                        when 'waiting' then 'event:' || (h.error::jsonb ->> 'event') end,
            worker_id = 0
        from held h
        where j.id = h.id and j.id = any(ids)
        returning j.id, j.queue, j.state
    ), freed as (
        insert into headrace.flow_release (queues, lanes, outcomes, claimed_ats)
        select array_agg(distinct h.queue), array_agg(h.lane), array_agg(h.outcome), array_agg(h.claimed_at)
        from held h where h.lane is not null
        having count(*) > 0
    ), recorded as (
        insert into headrace.attempt (job_id, run, outcome, worker_id, started_at, finished_at, error)
        select h.id, h.run, h.outcome, h.worker_id, h.claimed_at, now(), h.error::jsonb from held h
    )
    select array_agg(c.id), array_agg(c.queue) filter (where c.state = 'queued') into released, woken from changed c;
    -- What the next attempt reports is its own; and one that reports nothing would leave this behind.
    delete from headrace.job_progress g where g.job_id = any(released);
    perform headrace.wake_queues(woken) where woken is not null;
    return query select unnest(released);
end
$$;

CREATE FUNCTION headrace.release_waiting(events_after timestamp with time zone, looks_after timestamp with time zone, looks_after_id uuid, chunk integer, as_of timestamp with time zone DEFAULT now()) RETURNS TABLE(released integer, more boolean, events_seen text, looks_seen text, looks_seen_id text)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_custom_plan'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    AS $$
declare
    events text[];
    newest timestamptz;
    delivered integer;
    looked uuid[];
    last record;
    woken text[];
    ready text[];
begin
    if not pg_try_advisory_xact_lock(headrace.lock_key(), 7) then
        return;
    end if;
    select array_agg(e.name), max(e.emitted_at) into events, newest
    from (select e.name, e.emitted_at from headrace.event e
          where not e.delivered and e.emitted_at >= events_after
          order by e.emitted_at, e.name
          limit chunk
          for no key update skip locked) e;
    with waiting as (
        select j.id from headrace.job j
        where j.blocked_by = any(array(select 'event:' || e from unnest(events) e))
        limit chunk
        for no key update skip locked
    ), changed as (
        update headrace.job j
        set state = 'queued', position = nextval('headrace.job_position'), blocked_by = null, look_at = null, run_at = now()
        where j.id = any(array(select w.id from waiting w))
        returning j.queue
    )
    select count(*), array_agg(c.queue) into released, woken from changed c;
    update headrace.event e set delivered = true
    where e.name = any(events) and not exists (select from headrace.job j where j.blocked_by = 'event:' || e.name);
    get diagnostics delivered = row_count;

    looked := array(
        select j.id from headrace.job j
        where j.look_at is not null and j.look_at <= as_of and (j.look_at, j.id) > (looks_after, looks_after_id)
        order by j.look_at, j.id
        limit chunk
        for no key update skip locked);
    select j.look_at, j.id into last from headrace.job j where j.id = any(looked) order by j.look_at desc, j.id desc limit 1;
    with changed as (
        update headrace.job j
        set state = (case when o.over then 'queued' else 'blocked' end)::headrace.job_state,
            position = case when o.over then nextval('headrace.job_position') end,
            blocked_by = case when not o.over then j.blocked_by end,
            look_at = case when not o.over then j.run_at end,
            run_at = case when o.over then now() else j.run_at end
        from (select w.id, w.run_at <= as_of
                     or exists (select from headrace.event e where e.name = substr(w.blocked_by, 7)) as over
              from headrace.job w where w.id = any(looked)) o
        where j.id = o.id and j.id = any(looked)
        returning j.queue, o.over
    )
    select array_agg(c.queue), count(*) + released into ready, released from changed c where c.over;
    perform headrace.wake_queues(woken || ready) where woken is not null or ready is not null;

    -- Not because of events that are held: that would go round and round until they are free.
    more := (cardinality(events) = chunk and delivered > 0) or released >= chunk or cardinality(looked) = chunk;
    -- Those who emit at the same time commit one after the other: a look begins some seconds before the last one.
    events_seen := case when released >= chunk then events_after when cardinality(events) = chunk then newest
                        else greatest(events_after, now() - interval '5 seconds') end::text;
    looks_seen := case when cardinality(looked) = chunk then last.look_at else as_of end::text;
    looks_seen_id := case when cardinality(looked) = chunk then last.id else 'ffffffff-ffff-ffff-ffff-ffffffffffff' end::text;
    return next;
end
$$;

CREATE FUNCTION headrace.release_waiting_ticks(after_schedule text, after_tenant text, chunk integer, as_of timestamp with time zone) RETURNS TABLE(schedule text, tenant text)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_custom_plan'
    AS $$
#variable_conflict use_column
declare
    d headrace.schedule_due;
    s headrace.schedule;
    t headrace.tick;
    job uuid;
    jobs jsonb[] := '{}';
begin
    for d in
        select * from headrace.schedule_due x
        where x.has_waiting and (x.schedule, x.tenant) > (after_schedule, after_tenant)
        order by x.schedule, x.tenant
        limit chunk
        for no key update skip locked
    loop
        schedule := d.schedule;
        tenant := d.tenant;
        return next;
        continue when headrace.unfinished_jobs(d.open_jobs) <> '{}';
        select * into s from headrace.schedule x where x.name = d.schedule;
        continue when s.paused_at is not null or d.paused_at is not null;
        select * into t from headrace.tick x
        where x.outcome = 'waiting' and x.schedule = d.schedule and x.tenant = d.tenant
        order by x.due_at limit 1;
        if not found then
            update headrace.schedule_due x set has_waiting = false where x.schedule = d.schedule and x.tenant = d.tenant;
            continue;
        end if;
        job := headrace.uuid7();
        update headrace.tick x set outcome = 'enqueued', job_id = job, fired_at = coalesce(as_of, now())
        where x.schedule = t.schedule and x.tenant = t.tenant and x.nominal = t.nominal and x.fold = t.fold;
        update headrace.schedule_due x set open_jobs = array[job] where x.schedule = d.schedule and x.tenant = d.tenant;
        jobs := jobs || headrace.schedule_job(s, d, job, t.nominal, t.fold, t.due_at);
    end loop;
    perform headrace.enqueue_ticks(jobs);
end
$$;

CREATE FUNCTION headrace.remove_limit(name text) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
#variable_conflict use_column
begin
    if exists (select from headrace.flow_limit m where m.name = remove_limit.name and m.declared) then
        update headrace.flow_limit m set enabled = false, edited = true where m.name = remove_limit.name and m.enabled;
    else
        delete from headrace.flow_limit m where m.name = remove_limit.name;
    end if;
    if not found then
        return false;
    end if;
    perform headrace.wake_queues(array(select f.queue from headrace.flow_queue f));
    return true;
end
$$;

CREATE FUNCTION headrace.rescue_jobs(poison_limit integer, chunk integer DEFAULT 1000) RETURNS TABLE(job_id uuid, outcome text)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_custom_plan'
    AS $$
declare
    locked uuid[];
    ids uuid[];
    runs integer[];
    outcomes text[];
    errors text[];
begin
    locked := array(
        select j.id
        from headrace.job j
        where j.position is not null and ((j.suspicion = 0 and j.lane is null) or (j.suspicion = 0 and j.lane is not null) or j.suspicion > 0) -- three indexes
          and j.state = 'running' and not exists (select from headrace.worker w where w.id = j.worker_id)
        limit chunk
        for no key update of j skip locked);
    -- Judged again now that they are locked: one that was rescued and claimed again while this looked for it has another
    -- worker by now, whose lease the statement above cannot have seen.
    select array_agg(o.id), array_agg(o.run),
           array_agg(case when o.suspicion >= poison_limit then 'failed' else 'lost' end),
           array_agg(jsonb_build_object('kind', 'lost', 'message',
               format('worker %s lost its lease while it held this job%s', o.worker_id,
                   case when o.suspicion >= poison_limit
                        then format('; %s workers were lost while it ran as a suspect, so it is not tried again', poison_limit)
                        else '' end))::text)
    into ids, runs, outcomes, errors
    from (
        select j.id, j.run, j.suspicion, j.worker_id
        from headrace.job j
        where j.id = any(locked) and j.state = 'running'
          and not exists (select from headrace.worker w where w.id = j.worker_id)) o;
    if ids is null then
        return;
    end if;
    return query
    select f, 'finished' from headrace.finish_jobs(null, ids, runs, outcomes, array_fill(null::text, array[cardinality(ids)]),
                                                   errors, array_fill(null::text, array[cardinality(ids)])) f
    union all
    select r, 'lost' from headrace.release_jobs(null, ids, runs, outcomes,
                                                array_fill(0::double precision, array[cardinality(ids)]), errors) r;
end
$$;

CREATE FUNCTION headrace.retention_class(age interval) RETURNS headrace.retention
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$
    select case when age <= interval '1 day' then 'short'::headrace.retention
                when age <= interval '7 days' then 'normal'::headrace.retention
                else 'long'::headrace.retention end
$$;

CREATE FUNCTION headrace.retry_jobs(ids uuid[], new_args jsonb DEFAULT NULL::jsonb, from_start boolean DEFAULT false) RETURNS SETOF uuid
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_custom_plan'
    AS $$
declare
    large boolean := coalesce(octet_length(new_args::text) > 2048, false);
    since timestamptz := headrace.uuid7_floor_of(ids);
    revived uuid[];
    repeated uuid[];
    hastened uuid[];
    woken text[];
begin
    if jsonb_typeof(new_args) <> 'object' then
        raise exception using errcode = 'HR003', message = 'the arguments of a retry must be a JSON object';
    end if;
    -- Held until the end, so that the workflow cannot finish, or be pruned, meanwhile: see add_nodes.
    perform from headrace.workflow w
    where w.id = any(array(select h.workflow_id from headrace.job_history h
                           where h.id = any(retry_jobs.ids) and h.finished_at >= headrace.uuid7_floor_of(retry_jobs.ids)
                             and h.workflow_id is not null))
    order by w.id for key share;
    with gone as (
        delete from headrace.job_history h
        where h.id = any(retry_jobs.ids) and h.finished_at >= headrace.uuid7_floor_of(retry_jobs.ids)
        returning h.*, (select n.workflow_id from headrace.workflow_node n where n.job_id = h.id) as waits_in
    ), recorded as (
        insert into headrace.attempt (job_id, run, outcome, worker_id, started_at, finished_at, error)
        select g.id, g.run, g.state::text, g.worker_id, g.claimed_at, g.finished_at, g.error from gone g where g.run > 0
    ), revised as (
        insert into headrace.payload (job_id, created_at, args)
        select g.id, now(), new_args from gone g where large
    ), put_back as (
        insert into headrace.job (
            id, state, position, blocked_by, created_at, run_at, run, priority, max_attempts, queue, task, args, tenant,
            correlation_id, tags, metadata, workflow_id, feeds, inputs)
        select g.id, (case when g.waits_in is null then 'queued' else 'blocked' end)::headrace.job_state,
               case when g.waits_in is null then nextval('headrace.job_position') end,
               case when g.waits_in is not null then 'parents' end, case when large then now() else g.created_at end, now(), g.run,
               g.priority, g.max_attempts, g.queue, g.task, case when new_args is null then g.args when not large then new_args end,
               g.tenant, g.correlation_id, g.tags, g.metadata, g.waits_in, g.feeds,
               case when new_args is null then g.inputs end
        from gone g
        returning id, queue, workflow_id
    ), told as (
        insert into headrace.workflow_change (workflow_id, job_id, state)
        select p.workflow_id, p.id, 'blocked' from put_back p where p.workflow_id is not null
    )
    select array_agg(p.id), array_agg(p.queue), array_agg(p.id) filter (where g.state = 'succeeded') into revived, woken, repeated
    from put_back p join gone g on g.id = p.id;
    with waiting as (
        select j.id from headrace.job j
        where j.id = any(retry_jobs.ids) and (j.state = 'scheduled' or j.look_at is not null) order by j.id for no key update skip locked
    ), changed as (
        update headrace.job j
        set state = 'queued', position = nextval('headrace.job_position'), run_at = now(), blocked_by = null, look_at = null,
            created_at = case when large then now() else j.created_at end,
            args = case when new_args is null then j.args when not large then new_args end
        from waiting w where j.id = w.id
        returning j.id, j.queue
    ), replaced as (
        delete from headrace.payload p using changed c where p.job_id = c.id and large
    ), revised as (
        insert into headrace.payload (job_id, created_at, args) select c.id, now(), new_args from changed c where large
    )
    select array_agg(c.id), woken || array_agg(c.queue) into hastened, woken from changed c;
    if from_start then
        repeated := revived || hastened;
    end if;
    if repeated is not null then
        delete from headrace.step s where s.job_id = any(repeated) and s.recorded_at >= since;
    end if;
    perform headrace.wake_queues(woken) where woken is not null;
    return query select unnest(revived || hastened);
end
$$;

CREATE FUNCTION headrace.retry_workflow(workflow uuid) RETURNS SETOF uuid
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
    revived uuid[];
begin
    perform from headrace.workflow w where w.id = workflow for no key update;
    while headrace.reckon_changes(array[workflow], '-infinity') loop
    end loop;
    update headrace.workflow w set cancel_reason = null where w.id = workflow and w.cancel_reason is not null;
    revived := array(select headrace.retry_jobs(array(
        select n.job_id from headrace.workflow_node n
        where n.workflow_id = workflow and n.kind = 'job' and n.state in ('failed', 'cancelled') order by n.job_id)));
    insert into headrace.workflow_change (workflow_id, job_id, state)
    select workflow, n.job_id, 'blocked' from headrace.workflow_node n
    where n.workflow_id = workflow and n.kind = 'barrier' and n.state = 'cancelled' and cardinality(revived) > 0;
    perform headrace.advance_workflows(array[workflow]);
    return query select unnest(revived);
end
$$;

CREATE FUNCTION headrace.roll_up(kind integer, period interval, margin interval, budget interval, at_moment timestamp with time zone DEFAULT NULL::timestamp with time zone) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
    began constant timestamptz := clock_timestamp();
    moment constant timestamptz := coalesce(at_moment, began);
    own bigint;
    here text;
    nothing constant pg_snapshot := '1:1:';
    oldest constant timestamptz := moment - interval '90 days';
    look record;
    low timestamptz;
    said record;
    total bigint := 0;
    stride interval := '1 hour';
begin
    if (select l.looked_ats[kind] + period > moment from headrace.rollup_look l)
       or not pg_try_advisory_xact_lock(headrace.lock_key(), 184) then
        return null;
    end if;
    -- Only who has the lock changes the row, so it is read without one.
    select l.source, l.looked_ats, l.began_at, l.began_with into look from headrace.rollup_look l;
    own := pg_current_xact_id()::text::bigint;
    here := (select c.system_identifier from pg_control_system() c) || ' '
            || (select d.oid from pg_database d where d.datname = current_database());
    if look.source is distinct from here then
        delete from headrace.rollup_seen;
        insert into headrace.rollup_seen (from_at, snapshot) values ('-infinity', pg_current_snapshot());
        insert into headrace.rollup_seen (from_at, snapshot) select look.looked_ats[1], nothing where look.looked_ats[1] is not null;
        -- After the snapshot, so that whatever it sees ended before.
        look.began_at := coalesce(look.began_at, greatest(moment, clock_timestamp()));
        look.began_with := case when look.source is null then (select s.snapshot from headrace.rollup_seen s where s.from_at = '-infinity') end;
        update headrace.rollup_look set source = here, began_at = look.began_at, began_with = look.began_with;
    elsif look.looked_ats[kind] + period > moment then
        return null;
    end if;
    low := coalesce(look.looked_ats[kind], look.looked_ats[1], moment) - margin;
    said := headrace.count_ended(low, 'infinity', null, coalesce((select max(l) from unnest(look.looked_ats) l), '-infinity'),
                                 moment, own);
    total := said.counted;
    delete from headrace.rollup_seen s where s.from_at >= low;
    insert into headrace.rollup_seen (from_at, snapshot) values (low, said.taken);
    update headrace.rollup_look set looked_ats[kind] = moment;
    -- Parts that no look will come to again are one with all before them.
    update headrace.rollup_seen s set snapshot = o.snapshot
    from (select x.snapshot from headrace.rollup_seen x where x.from_at < low - interval '10 days' order by x.from_at desc limit 1) o
    where s.from_at = '-infinity';
    delete from headrace.rollup_seen s where s.from_at < low - interval '10 days' and s.from_at <> '-infinity';

    while look.began_with is not null and look.began_at > oldest and clock_timestamp() < began + budget loop
        said := headrace.count_ended(look.began_at - stride, look.began_at, look.began_with, '-infinity', moment, own);
        total := total + said.counted;
        look.began_at := look.began_at - stride;
        stride := case when said.counted > 0 then interval '1 hour' else least(stride * 2, interval '1 day') end;
        update headrace.rollup_look set began_at = look.began_at, began_with = case when look.began_at > oldest then look.began_with end;
    end loop;
    return total;
end
$$;

CREATE FUNCTION headrace.run_chunk(operation bigint, chunk integer, ids uuid[], place text, last boolean) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_custom_plan'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    AS $$
<<here>>
declare
    action text;
    settings jsonb;
    tenant text;
    acting uuid[];
    done uuid[];
    failed integer := 0;
    problem text;
    job uuid;
begin
    select o.action, o.settings, o.tenant into action, settings, tenant
    from headrace.operation o
    where o.id = run_chunk.operation and o.chunks = run_chunk.chunk and o.state = 'running'
    for no key update skip locked;
    if not found then
        return false;
    end if;
    acting := array(
        select j.id from headrace.job j
        where j.id = any(run_chunk.ids) and (here.tenant is null or j.tenant = here.tenant)
        order by j.id for no key update skip locked);
    acting := acting || array(
        select h.id from headrace.job_history h
        where h.id = any(run_chunk.ids) and h.finished_at >= headrace.uuid7_floor_of(run_chunk.ids)
          and (here.tenant is null or h.tenant = here.tenant));
    begin
        done := array(select headrace.apply_action(action, settings, acting));
    exception
        when deadlock_detected or serialization_failure or lock_not_available or query_canceled or insufficient_resources
            or check_violation or operator_intervention then
            raise;
        when others then
            done := '{}';
            foreach job in array acting loop
                begin
                    done := done || array(select headrace.apply_action(action, settings, array[job]));
                exception
                    when deadlock_detected or serialization_failure or lock_not_available or query_canceled
                        or insufficient_resources or check_violation or operator_intervention then
                        raise;
                    when others then
                        failed := failed + 1;
                        problem := format('job %s: %s', job, sqlerrm);
                end;
            end loop;
    end;
    update headrace.operation o
    set chunks = o.chunks + 1, place = run_chunk.place, taken_until = now() + interval '10 seconds',
        done = o.done + cardinality(here.done), failed = o.failed + here.failed,
        skipped = o.skipped + coalesce(cardinality(run_chunk.ids), 0) - cardinality(here.done) - here.failed,
        problem = coalesce(here.problem, o.problem),
        state = case when last then 'finished' else o.state end, finished_at = case when last then now() end
    where o.id = run_chunk.operation;
    return true;
end
$$;

CREATE FUNCTION headrace.run_schedule(schedule text, tenant text, nominal timestamp without time zone) RETURNS uuid
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
    s headrace.schedule;
    d headrace.schedule_due;
    job uuid := headrace.uuid7();
begin
    select * into d from headrace.schedule_due x
    where x.schedule = run_schedule.schedule and x.tenant = run_schedule.tenant for no key update;
    if not found then
        return null;
    end if;
    select * into s from headrace.schedule x where x.name = run_schedule.schedule;
    insert into headrace.tick (schedule, tenant, nominal, fold, due_at, fired_at, cause, outcome, job_id)
    values (s.name, d.tenant, nominal, 0, now(), now(), 'run_now', 'enqueued', job);
    if s.overlap <> 'allow' then
        update headrace.schedule_due x set open_jobs = headrace.unfinished_jobs(x.open_jobs) || job
        where x.schedule = d.schedule and x.tenant = d.tenant;
    end if;
    perform headrace.enqueue_jobs(jsonb_build_array(headrace.schedule_job(s, d, job, nominal, 0::smallint, now())));
    return job;
end
$$;

CREATE FUNCTION headrace.sample_queues(at_moment timestamp with time zone DEFAULT NULL::timestamp with time zone) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET jit TO 'off'
    AS $$
declare
    began constant timestamptz := clock_timestamp();
    moment constant timestamptz := coalesce(at_moment, began);
    look record;
    seen integer;
begin
    if (select date_trunc('minute', moment, 'UTC') <= l.sampled_at from headrace.rollup_look l)
       or not pg_try_advisory_xact_lock(headrace.lock_key(), 185) then
        return null;
    end if;
    select l.sampled_at, l.sample_took into look from headrace.rollup_look l;
    if date_trunc('minute', moment, 'UTC') <= look.sampled_at or moment < look.sampled_at + 50 * look.sample_took then
        return null;
    end if;
    with line as (
        select coalesce(j.queue, '') as queue,
               count(*) filter (where j.state = 'queued') as queued, count(*) filter (where j.state = 'running') as running,
               count(*) filter (where j.state = 'scheduled') as scheduled, count(*) filter (where j.state = 'blocked') as blocked,
               greatest(0, coalesce(extract(epoch from moment - min(j.run_at) filter (where j.state = 'queued')), 0))::float8 as oldest_s
        from headrace.job j
        group by grouping sets ((j.queue), ())
    ), added as (
        insert into headrace.queue_sample as q (step, start_at, queue, samples, queued, running, scheduled, blocked, queued_max,
                                                running_max, scheduled_max, blocked_max, oldest_s_max)
        select s.step, date_trunc(s.step, moment, 'UTC'), l.queue, 1, l.queued, l.running, l.scheduled, l.blocked, l.queued, l.running,
               l.scheduled, l.blocked, l.oldest_s
        from line l cross join (values ('minute'), ('hour'), ('day')) as s(step)
        on conflict (step, start_at, queue) do update
        set samples = q.samples + 1, queued = q.queued + excluded.queued, running = q.running + excluded.running,
            scheduled = q.scheduled + excluded.scheduled, blocked = q.blocked + excluded.blocked,
            queued_max = greatest(q.queued_max, excluded.queued_max), running_max = greatest(q.running_max, excluded.running_max),
            scheduled_max = greatest(q.scheduled_max, excluded.scheduled_max),
            blocked_max = greatest(q.blocked_max, excluded.blocked_max),
            oldest_s_max = greatest(q.oldest_s_max, excluded.oldest_s_max)
    )
    select count(*) - 1 into seen from line;
    update headrace.rollup_look
    set sampled_at = date_trunc('minute', moment, 'UTC') + interval '59 seconds',
        sample_took = clock_timestamp() - began;
    return seen;
end
$$;

CREATE TABLE headrace.schedule (
    name text NOT NULL,
    task text NOT NULL,
    args jsonb DEFAULT '{}'::jsonb NOT NULL,
    queue text,
    priority smallint,
    tenant text,
    tags text[],
    cron text,
    every interval,
    at timestamp with time zone,
    timezone text DEFAULT 'UTC'::text NOT NULL,
    start_at timestamp with time zone,
    end_at timestamp with time zone,
    jitter interval DEFAULT '00:00:00'::interval NOT NULL,
    catch_up text DEFAULT 'latest'::text NOT NULL,
    catch_up_limit integer DEFAULT 100 NOT NULL,
    overlap text DEFAULT 'skip'::text NOT NULL,
    per_tenant boolean DEFAULT false NOT NULL,
    enabled boolean DEFAULT true NOT NULL,
    paused_at timestamp with time zone,
    paused_by text,
    paused_reason text,
    declared text,
    edited_at timestamp with time zone,
    edited_by text,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT schedule_catch_up_check CHECK ((catch_up = ANY (ARRAY['skip'::text, 'latest'::text, 'all'::text]))),
    CONSTRAINT schedule_catch_up_limit_check CHECK ((catch_up_limit > 0)),
    CONSTRAINT schedule_check CHECK ((num_nonnulls(cron, every, at) = 1)),
    CONSTRAINT schedule_overlap_check CHECK ((overlap = ANY (ARRAY['skip'::text, 'queue'::text, 'cancel'::text, 'allow'::text])))
);

CREATE TABLE headrace.schedule_due (
    schedule text NOT NULL,
    tenant text DEFAULT ''::text NOT NULL,
    revision bigint DEFAULT 0 NOT NULL,
    next_due timestamp with time zone,
    next_at timestamp with time zone NOT NULL,
    next_nominal timestamp without time zone,
    next_fold smallint,
    skip_next boolean DEFAULT false NOT NULL,
    has_waiting boolean DEFAULT false NOT NULL,
    open_jobs uuid[] DEFAULT '{}'::uuid[] NOT NULL,
    problem text,
    cron text,
    timezone text,
    args jsonb,
    paused_at timestamp with time zone,
    paused_by text,
    paused_reason text
)
WITH (fillfactor='50', autovacuum_vacuum_scale_factor='0', autovacuum_vacuum_threshold='500');

CREATE FUNCTION headrace.schedule_job(s headrace.schedule, d headrace.schedule_due, id uuid, nominal timestamp without time zone, fold smallint, due_at timestamp with time zone) RETURNS jsonb
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET "TimeZone" TO 'UTC'
    AS $$
    select jsonb_strip_nulls(jsonb_build_object(
               'id', id, 'task', s.task, 'queue', s.queue, 'priority', s.priority,
               'tenant', coalesce(nullif(d.tenant, ''), s.tenant), 'tags', to_jsonb(s.tags)))
        || jsonb_build_object(
               'args', s.args || coalesce(d.args, '{}'),
               'metadata', jsonb_build_object('schedule', jsonb_build_object(
                   'name', s.name, 'nominal', nominal, 'fold', fold, 'due_at', due_at,
                   'timezone', case when s.cron is null then 'UTC' else coalesce(d.timezone, s.timezone) end)))
$$;

CREATE FUNCTION headrace.set_limit(name text, kind text, queue text, tasks text[], key text, bound integer, span interval, burst integer, settings jsonb, by_code boolean DEFAULT false, at_moment timestamp with time zone DEFAULT NULL::timestamp with time zone) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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

CREATE FUNCTION headrace.settle_attempt(worker bigint, id uuid, run integer, result text, progress text) RETURNS SETOF uuid
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
    if not exists (select headrace.finish_jobs(worker, array[id], array[run], array['succeeded'], array[result],
                                               array[null]::text[], array[progress])) then
        return next id;
    end if;
end
$$;

CREATE FUNCTION headrace.settle_jobs(worker bigint, ids uuid[], runs integer[], outcomes text[], waits_s double precision[], results text[], errors text[], progresses text[], again boolean DEFAULT false) RETURNS SETOF uuid
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    SET lock_timeout TO '200ms'
    AS $$
declare
    settled uuid[];
begin
    settled := array(select headrace.finish_jobs(worker, ids, runs, outcomes, results, errors, progresses));
    if cardinality(settled) = cardinality(ids) then
        return;
    end if;
    settled := settled || array(select headrace.release_jobs(worker, ids, runs, outcomes, waits_s, errors));
    if cardinality(settled) < cardinality(ids) then
        -- What was asked to cancel after the first look was not released.
        settled := settled || array(select headrace.finish_jobs(worker, ids, runs, outcomes, results, errors, progresses));
    end if;
    if again then
        settled := settled || array(
            select o.id from unnest(ids, runs) as o(id, run)
            where exists (select from headrace.job_history h
                          where h.id = o.id and h.run = o.run and h.worker_id = worker
                            and h.finished_at >= headrace.uuid7_floor(o.id))
               or exists (select from headrace.attempt a
                          where a.job_id = o.id and a.run = o.run and a.worker_id = worker
                            and a.finished_at >= headrace.uuid7_floor(o.id)));
    end if;
    return query select i from unnest(ids) i where i <> all(settled);
end
$$;

CREATE FUNCTION headrace.sort_into_lanes(queue text, chunk integer, lows smallint[], highs smallint[], afters bigint[], befores bigint[]) RETURNS TABLE(rank integer, first bigint, last bigint, jobs integer)
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET enable_sort TO 'off'
    SET jit TO 'off'
    AS $$
#variable_conflict use_column
declare
    found uuid[];
begin
    found := array(
        select w.id
        from unnest(lows, highs, afters, befores) as s(low, high, after, before)
        cross join lateral (
            select case when s.low = s.high then s.low else (
                select w.priority from headrace.job w
                where w.queue = sort_into_lanes.queue and w.priority between s.low and s.high
                  and w.position is not null and w.suspicion = 0 and w.lane is null and w.state = 'queued'
                order by w.priority desc, w.position limit 1) end as priority) p
        cross join lateral (
            select w.id from headrace.job w
            where w.queue = sort_into_lanes.queue and w.priority = p.priority
              and w.position > s.after and w.position < s.before
              and w.position is not null and w.suspicion = 0 and w.lane is null and w.state = 'queued'
            order by w.position
            limit chunk
            for no key update skip locked) w
        limit chunk);
    if cardinality(found) = 0 then
        return;
    end if;
    return query
    with moved as (
        update headrace.job j
        set lane = (select n.lane from headrace.lane_of(j.queue, j.task, j.tenant, j.args, j.id, j.created_at) n)
        where j.id = any(found)
        returning -j.priority::integer as rank, j.position
    )
    select m.rank, min(m.position) filter (where m.position > 0), max(m.position), count(*)::integer from moved m group by m.rank;
end
$$;

CREATE FUNCTION headrace.start_workflow(workflow uuid, name text, policy text, callbacks jsonb, jobs jsonb, nodes jsonb) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
    insert into headrace.workflow (id, name, policy, callbacks)
    values (workflow, name, policy, callbacks)
    on conflict (id) do nothing;
    if not found then
        return false;
    end if;
    -- A callback that cannot be enqueued is refused now, and not when everything else is done.
    perform headrace.read_requests(coalesce(jsonb_agg(c.value), '[]')) from jsonb_each(callbacks) c;
    perform headrace.add_nodes(workflow, jobs, nodes, true);
    update headrace.workflow w
    set blocked = c.blocked, queued = c.queued
    from (select count(*) filter (where n.state = 'blocked') as blocked, count(*) filter (where n.state = 'queued') as queued
          from headrace.workflow_node n where n.workflow_id = workflow and n.kind = 'job') c
    where w.id = workflow;
    return true;
end
$$;

CREATE FUNCTION headrace.take_slots(line text, ids uuid[], lanes text[], turn double precision, moment timestamp with time zone) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET enable_nestloop TO 'off'
    SET enable_mergejoin TO 'off'
    SET jit TO 'off'
    AS $$
#variable_conflict use_column
declare
    now_us constant bigint := floor(extract(epoch from moment) * 1000000);
    line_turn double precision;
begin
    select f.turn into line_turn from headrace.flow_queue f where f.queue = line;
    with lane as materialized (
        select s.lane, count(*)::integer as jobs, (array_agg(s.job))[1] as job
        from unnest(ids, lanes) as s(job, lane) group by s.lane
    ), pair as materialized (
        select (p.pair ->> 0)::bigint as limit_id, p.pair ->> 1 as key, sum(l.jobs)::integer as jobs, (array_agg(l.job))[1] as job
        from lane l cross join lateral jsonb_array_elements(l.lane::jsonb - 0) as p(pair)
        group by 1, 2
    ), told as materialized (
        select p.limit_id, p.key, coalesce(g.held, 0) + p.jobs as held,
               case when m.kind = 'rate' then now_us + p.jobs * r.step_us + headrace.rate_ahead(
                        coalesce(g.tat_us, 0), coalesce(g.step_us, r.step_us), r.step_us,
                        floor(extract(epoch from m.changed_at) * 1000000)::bigint, now_us)
                    else coalesce(g.tat_us, 0) end as tat_us,
               coalesce(r.step_us, 1) as step_us,
               case when m.kind = 'fair' then greatest(coalesce(g.turn, 0), line_turn)
                                              + p.jobs / coalesce((m.settings #>> array['weights', p.key])::float8, 1)
                    else coalesce(g.turn, 0) end as turn,
               case when m.kind = 'order' then p.job else g.holder end as holder,
               coalesce(g.probes, 0) + case when g.state = 'half_open' then p.jobs else 0 end as probes
        from pair p
        join headrace.flow_limit m on m.id = p.limit_id
        left join lateral (
            select f.held, f.tat_us, f.step_us, f.turn, f.holder, f.state, f.probes
            from headrace.flow_gate f where f.limit_id = p.limit_id and f.key = p.key limit 1) g on true
        cross join lateral (
            select case when m.kind = 'rate' then ceil(extract(epoch from m.span) * 1000000 / m.bound)::bigint end as step_us) r
    )
    insert into headrace.flow_gate (limit_id, key, held, tat_us, step_us, turn, holder, probes)
    select t.limit_id, t.key, t.held, t.tat_us, t.step_us, t.turn, t.holder, t.probes from told t
    on conflict (limit_id, key) do update
    set held = excluded.held, tat_us = excluded.tat_us, step_us = excluded.step_us, turn = excluded.turn,
        holder = excluded.holder, probes = excluded.probes;
    update headrace.flow_queue f set turn = take_slots.turn
    where f.queue = line and f.turn < take_slots.turn;
end
$$;

CREATE FUNCTION headrace.tally(buckets integer[], counts bigint[]) RETURNS integer[]
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$
    select array_agg(coalesce(c.n, 0) order by b.bucket)
    from generate_series(0, 63) as b(bucket)
    left join (select u.bucket, sum(u.n)::integer as n from unnest(buckets, counts) as u(bucket, n) group by u.bucket) c
        on c.bucket = b.bucket
$$;

CREATE FUNCTION headrace.tick_schedules(plans jsonb, as_of timestamp with time zone) RETURNS TABLE(schedule text, tenant text)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_custom_plan'
    SET lock_timeout TO '1s'
    AS $$
#variable_conflict use_column
declare
    most_waiting constant integer := 1000;
    clock timestamptz := coalesce(as_of, now());
    p record;
    m record;
    s headrace.schedule;
    d headrace.schedule_due;
    open uuid[];
    job uuid;
    verdict text;
    said text;
    waiting integer;
    superseded integer;
    jobs jsonb[] := '{}';
begin
    for p in
        select * from jsonb_to_recordset(plans) as r(
            schedule text, tenant text, revision bigint, moments jsonb, next_due timestamptz, next_at timestamptz,
            next_nominal timestamp, next_fold smallint)
        order by r.schedule, r.tenant
    loop
        select * into d from headrace.schedule_due x
        where x.schedule = p.schedule and x.tenant = p.tenant and x.revision = p.revision and x.next_due <= clock
        for no key update skip locked;
        continue when not found;
        select * into s from headrace.schedule x where x.name = p.schedule;
        if not found or not s.enabled then
            update headrace.schedule_due x set revision = x.revision + 1, next_due = null
            where x.schedule = d.schedule and x.tenant = d.tenant;
            continue;
        end if;
        open := case when s.overlap = 'allow' or d.open_jobs = '{}' then '{}' else headrace.unfinished_jobs(d.open_jobs) end;
        if s.overlap = 'cancel' and open <> '{}' and cardinality(open) > (
            select count(*) from (select from headrace.job j where j.id = any(open) order by j.id for update skip locked) l)
        then
            update headrace.schedule_due x
            set revision = x.revision + 1, next_due = clock + interval '1 second',
                problem = format('job %s is to be cancelled, and held by an open transaction', array_to_string(open, ' or '))
            where x.schedule = d.schedule and x.tenant = d.tenant;
            continue;
        end if;
        waiting := case when d.has_waiting then (
            select count(*) from headrace.tick t
            where t.outcome = 'waiting' and t.schedule = d.schedule and t.tenant = d.tenant) else 0 end;
        for m in
            select * from jsonb_to_recordset(p.moments) as r(
                nominal timestamp, fold smallint, due_at timestamptz, runs boolean, through timestamptz)
            order by r.due_at, r.nominal, r.fold
        loop
            job := null;
            said := null;
            verdict := case when not m.runs then 'missed'
                            when d.skip_next then 'skipped'
                            when s.paused_at is not null or d.paused_at is not null then 'paused'
                            when s.overlap = 'allow' or (open = '{}' and waiting = 0) then 'enqueued'
                            when s.overlap = 'skip' then 'overlapped'
                            when s.overlap = 'queue' then case when waiting < most_waiting then 'waiting' else 'overlapped' end
                            else 'cancels' end;
            if verdict = 'overlapped' then
                said := case when s.overlap = 'queue' then format('%s moments wait already', waiting)
                             when open = '{}' then 'an earlier moment still waits'
                             else format('job %s had not finished', open[1]) end;
            elsif verdict = 'paused' then
                said := case when s.paused_at is null then d.paused_reason else s.paused_reason end;
            elsif verdict = 'cancels' then
                perform headrace.cancel_jobs(open, format('schedule "%s" is due again', s.name));
                said := case when open <> '{}' then 'cancelled job ' || array_to_string(open, ', ') end;
                update headrace.tick t set outcome = 'overlapped', detail = 'the next moment came first'
                where waiting > 0 and t.outcome = 'waiting' and t.schedule = d.schedule and t.tenant = d.tenant and t.cause = 'due';
                get diagnostics superseded = row_count;
                waiting := waiting - superseded;
                open := headrace.unfinished_jobs(open);
                verdict := case when open = '{}' then 'enqueued' else 'waiting' end;
            end if;
            if verdict = 'enqueued' then
                job := headrace.uuid7();
            end if;
            insert into headrace.tick (schedule, tenant, nominal, fold, due_at, fired_at, outcome, job_id, through, detail)
            values (d.schedule, d.tenant, m.nominal, m.fold, m.due_at, clock, verdict, job, m.through, said)
            on conflict do nothing;
            continue when not found; -- by another worker's tzdata its time has come before
            if verdict = 'enqueued' then
                jobs := jobs || headrace.schedule_job(s, d, job, m.nominal, m.fold, m.due_at);
                open := case when s.overlap = 'allow' then '{}' else open || job end;
            elsif verdict = 'skipped' then
                d.skip_next := false;
            elsif verdict = 'waiting' then
                waiting := waiting + 1;
            end if;
        end loop;
        update headrace.schedule_due x
        set revision = x.revision + 1, next_due = p.next_due, next_at = coalesce(p.next_at, x.next_at),
            next_nominal = p.next_nominal, next_fold = p.next_fold, skip_next = d.skip_next, open_jobs = open,
            has_waiting = waiting > 0, problem = null
        where x.schedule = d.schedule and x.tenant = d.tenant;
        schedule := d.schedule;
        tenant := d.tenant;
        return next;
    end loop;
    perform headrace.enqueue_ticks(jobs);
end
$$;

CREATE FUNCTION headrace.turn_breakers(moment timestamp with time zone) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
    with judged as (
        select g.limit_id, g.key, moment >= g.window_at + m.span and g.succeeded + g.failed > 0 as full,
               case when m.reset_at > g.since and g.state <> 'closed' then 'closed'
                    when g.state = 'closed' and g.succeeded + g.failed >= (m.settings ->> 'minimum')::integer
                         and g.failed >= (m.settings ->> 'ratio')::float8 * (g.succeeded + g.failed) then 'open'
                    when g.state = 'open' and moment >= g.since + make_interval(secs => (m.settings ->> 'cool_down_s')::float8)
                    then 'half_open'
                    when g.state = 'half_open' and g.failed > 0 then 'open'
                    when g.state = 'half_open' and g.succeeded >= m.bound then 'closed'
                    else g.state end as state
        from headrace.flow_limit m join headrace.flow_gate g on g.limit_id = m.id
        where m.kind = 'breaker'
    )
    update headrace.flow_gate g
    set state = j.state, since = case when j.state = g.state then g.since else moment end,
        window_at = moment, succeeded = 0, failed = 0, probes = 0
    from judged j
    where g.limit_id = j.limit_id and g.key = j.key and (j.state <> g.state or (g.state = 'closed' and j.full));
end
$$;

CREATE FUNCTION headrace.unfinished_jobs(ids uuid[]) RETURNS uuid[]
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_custom_plan'
    AS $$
    select coalesce(array_agg(j.id), '{}') from headrace.job j where j.id = any(ids)
$$;

CREATE FUNCTION headrace.uuid7() RETURNS uuid
    LANGUAGE sql PARALLEL SAFE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
    select encode(
        set_bit(set_bit(
            overlay(uuid_send(gen_random_uuid())
                    placing substring(int8send((extract(epoch from clock_timestamp()) * 1000)::bigint) from 3)
                    from 1 for 6),
            52, 1), 53, 1),
        'hex')::uuid
$$;

CREATE FUNCTION headrace.uuid7_floor(id uuid) RETURNS timestamp with time zone
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    AS $$
    select to_timestamp((('x' || left(replace(id::text, '-', ''), 12))::bit(48)::bigint) / 1000.0) - interval '1 day'
$$;

CREATE FUNCTION headrace.uuid7_floor_of(ids uuid[]) RETURNS timestamp with time zone
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    AS $$
    select min(headrace.uuid7_floor(i)) from unnest(ids) i
$$;

CREATE FUNCTION headrace.uuid7_from(moment timestamp with time zone) RETURNS uuid
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    AS $$
    select (substr(encode(int8send((extract(epoch from moment) * 1000)::bigint), 'hex'), 5) || '70008000000000000000')::uuid
$$;

CREATE FUNCTION headrace.wake_for_slots() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
    perform headrace.wake_queues(new.queues);
    return null;
end
$$;

CREATE FUNCTION headrace.wake_queues(queues text[]) RETURNS void
    LANGUAGE sql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
    select pg_notify('headrace_wake', q) from (select distinct q from unnest(queues) q) d
    where pg_try_advisory_xact_lock(headrace.lock_key(), hashtext(q))
$$;

CREATE FUNCTION headrace.wake_workers() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
    if pg_try_advisory_xact_lock(headrace.lock_key(), hashtext(new.queue)) then
        perform pg_notify('headrace_wake', new.queue);
    end if;
    return null;
end
$$;

CREATE FUNCTION headrace.write_schedule(fields jsonb, digest text, editor text, only_new boolean, as_of timestamp with time zone) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
    clock timestamptz := coalesce(as_of, now());
    was headrace.schedule;
    w headrace.schedule := jsonb_populate_record(null::headrace.schedule, fields);
begin
    select * into was from headrace.schedule s where s.name = w.name for no key update;
    insert into headrace.schedule as s (
        name, task, args, queue, priority, tenant, tags, cron, every, at, timezone, start_at, end_at, jitter, catch_up,
        catch_up_limit, overlap, per_tenant, declared)
    values (w.name, w.task, w.args, w.queue, w.priority, w.tenant, w.tags, w.cron, w.every, w.at, w.timezone, w.start_at, w.end_at,
            w.jitter, w.catch_up, w.catch_up_limit, w.overlap, w.per_tenant, digest)
    on conflict (name) do update
    set task = w.task, args = w.args, queue = w.queue, priority = w.priority, tenant = w.tenant, tags = w.tags, cron = w.cron,
        every = w.every, at = w.at, timezone = w.timezone, start_at = w.start_at, end_at = w.end_at, jitter = w.jitter,
        catch_up = w.catch_up, catch_up_limit = w.catch_up_limit, overlap = w.overlap, per_tenant = w.per_tenant,
        declared = digest, enabled = s.enabled or editor is null, edited_at = case when editor is not null then clock end, edited_by = editor
    where not only_new;
    if not found then
        return false;
    end if;
    if not was.enabled and editor is not null then
        return true; -- planned when code declares it again
    end if;
    with gone as (
        delete from headrace.schedule_due d where d.schedule = w.name and (d.tenant = '') = w.per_tenant returning d.tenant
    )
    update headrace.tick t set outcome = 'skipped', detail = 'the schedule was changed'
    from gone g
    where t.outcome = 'waiting' and t.schedule = w.name and t.tenant = g.tenant;
    if not w.per_tenant then
        insert into headrace.schedule_due (schedule, next_due, next_at) values (w.name, clock, clock) on conflict do nothing;
    end if;
    if was.name is null
       or not was.enabled
       or row(was.cron, was.every, was.at, was.timezone, was.start_at, was.end_at, was.jitter)
          is distinct from row(w.cron, w.every, w.at, w.timezone, w.start_at, w.end_at, w.jitter)
    then
        update headrace.schedule_due d
        set revision = d.revision + 1, next_due = clock, next_at = clock, next_nominal = null, next_fold = null, problem = null
        where d.schedule = w.name;
    else
        -- What a tick was planned with (how it catches up) may have changed.
        update headrace.schedule_due d set revision = d.revision + 1 where d.schedule = w.name;
    end if;
    return true;
end
$$;

CREATE TABLE headrace.access_key (
    prefix text NOT NULL,
    name text NOT NULL,
    digest bytea NOT NULL,
    role text NOT NULL,
    tenant text,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    created_by text NOT NULL,
    expires_at timestamp with time zone,
    revoked_at timestamp with time zone,
    used_at timestamp with time zone,
    CONSTRAINT access_key_role_check CHECK ((role = ANY (ARRAY['viewer'::text, 'operator'::text, 'admin'::text])))
);

CREATE TABLE headrace.access_link (
    digest bytea NOT NULL,
    user_name text,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    expires_at timestamp with time zone NOT NULL
);

CREATE TABLE headrace.access_session (
    digest bytea NOT NULL,
    user_name text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    seen_at timestamp with time zone DEFAULT now() NOT NULL,
    address text
)
WITH (fillfactor='50');

CREATE TABLE headrace.access_try (
    key text NOT NULL,
    tries integer NOT NULL,
    since timestamp with time zone DEFAULT now() NOT NULL
)
WITH (fillfactor='50');

CREATE TABLE headrace.access_user (
    name text NOT NULL,
    password text,
    role text NOT NULL,
    tenant text,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    created_by text NOT NULL,
    signed_in_at timestamp with time zone,
    CONSTRAINT access_user_role_check CHECK ((role = ANY (ARRAY['viewer'::text, 'operator'::text, 'admin'::text])))
);

CREATE TABLE headrace.alert (
    rule text NOT NULL,
    subject text NOT NULL,
    detail text NOT NULL,
    since timestamp with time zone NOT NULL,
    seen_at timestamp with time zone NOT NULL,
    raised_at timestamp with time zone,
    told_at timestamp with time zone
);

CREATE TABLE headrace.alert_look (
    only_row boolean DEFAULT true NOT NULL,
    next_at timestamp with time zone DEFAULT '-infinity'::timestamp with time zone NOT NULL,
    CONSTRAINT alert_look_only_row_check CHECK (only_row)
);

CREATE TABLE headrace.alert_message (
    id bigint NOT NULL,
    destination text NOT NULL,
    kind text NOT NULL,
    rule text NOT NULL,
    subject text NOT NULL,
    detail text NOT NULL,
    severity text NOT NULL,
    since timestamp with time zone NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    tries smallint DEFAULT 0 NOT NULL,
    next_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT alert_message_kind_check CHECK ((kind = ANY (ARRAY['raised'::text, 'repeated'::text, 'recovered'::text])))
);

ALTER TABLE headrace.alert_message ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME headrace.alert_message_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE headrace.attempt (
    job_id uuid NOT NULL,
    run integer NOT NULL,
    outcome text NOT NULL,
    worker_id bigint NOT NULL,
    started_at timestamp with time zone NOT NULL,
    finished_at timestamp with time zone NOT NULL,
    error jsonb
)
PARTITION BY RANGE (finished_at);

CREATE TABLE headrace.audit (
    id bigint NOT NULL,
    at timestamp with time zone NOT NULL,
    by text NOT NULL,
    source text NOT NULL,
    address text,
    action text NOT NULL,
    kind text NOT NULL,
    targets text[] NOT NULL,
    count bigint NOT NULL,
    before jsonb,
    after jsonb
)
PARTITION BY RANGE (at);

CREATE SEQUENCE headrace.audit_number
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

CREATE TABLE headrace.dependency (
    parent uuid NOT NULL,
    child uuid NOT NULL
);

CREATE TABLE headrace.deploy (
    id bigint NOT NULL,
    deployed_at timestamp with time zone DEFAULT now() NOT NULL,
    label text NOT NULL,
    deployed_by text,
    automatic boolean DEFAULT false NOT NULL
);

ALTER TABLE headrace.deploy ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME headrace.deploy_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE headrace.enqueue_key (
    task text NOT NULL,
    tenant text DEFAULT ''::text NOT NULL,
    key text NOT NULL,
    job_id uuid NOT NULL,
    expires_at timestamp with time zone NOT NULL
);

CREATE TABLE headrace.event (
    name text NOT NULL,
    payload jsonb,
    emitted_at timestamp with time zone DEFAULT now() NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    delivered boolean DEFAULT false NOT NULL
);

CREATE TABLE headrace.flow_gate (
    limit_id bigint NOT NULL,
    key text NOT NULL COLLATE pg_catalog."C",
    held integer DEFAULT 0 NOT NULL,
    tat_us bigint DEFAULT 0 NOT NULL,
    step_us bigint DEFAULT 1 NOT NULL,
    turn double precision DEFAULT 0 NOT NULL,
    holder uuid,
    state text DEFAULT 'closed'::text NOT NULL,
    since timestamp with time zone DEFAULT '-infinity'::timestamp with time zone NOT NULL,
    window_at timestamp with time zone DEFAULT '-infinity'::timestamp with time zone NOT NULL,
    succeeded integer DEFAULT 0 NOT NULL,
    failed integer DEFAULT 0 NOT NULL,
    probes integer DEFAULT 0 NOT NULL,
    CONSTRAINT flow_gate_state_check CHECK ((state = ANY (ARRAY['closed'::text, 'open'::text, 'half_open'::text])))
)
WITH (fillfactor='50', autovacuum_vacuum_scale_factor='0', autovacuum_vacuum_threshold='1000');

CREATE TABLE headrace.flow_limit (
    id bigint NOT NULL,
    name text NOT NULL,
    kind text NOT NULL,
    queue text,
    tasks text[],
    key text,
    bound integer DEFAULT 1 NOT NULL,
    span interval DEFAULT '00:00:01'::interval NOT NULL,
    burst integer DEFAULT 1 NOT NULL,
    settings jsonb DEFAULT '{}'::jsonb NOT NULL,
    declared boolean DEFAULT false NOT NULL,
    edited boolean DEFAULT false NOT NULL,
    enabled boolean DEFAULT true NOT NULL,
    changed_at timestamp with time zone DEFAULT '-infinity'::timestamp with time zone NOT NULL,
    forced text,
    reset_at timestamp with time zone DEFAULT '-infinity'::timestamp with time zone NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT flow_limit_bound_check CHECK ((bound >= 0)),
    CONSTRAINT flow_limit_burst_check CHECK ((burst >= 1)),
    CONSTRAINT flow_limit_check CHECK (((queue IS NULL) <> (tasks IS NULL))),
    CONSTRAINT flow_limit_check1 CHECK (((kind <> 'rate'::text) OR (bound >= 1))),
    CONSTRAINT flow_limit_forced_check CHECK ((forced = ANY (ARRAY['closed'::text, 'open'::text]))),
    CONSTRAINT flow_limit_kind_check CHECK ((kind = ANY (ARRAY['concurrency'::text, 'rate'::text, 'order'::text, 'fair'::text, 'ageing'::text, 'breaker'::text]))),
    CONSTRAINT flow_limit_span_check CHECK ((span > '00:00:00'::interval))
);

ALTER TABLE headrace.flow_limit ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME headrace.flow_limit_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE headrace.flow_queue (
    queue text NOT NULL,
    turn double precision DEFAULT 0 NOT NULL
)
WITH (fillfactor='20');

CREATE TABLE headrace.flow_release (
    id bigint NOT NULL,
    queues text[] NOT NULL,
    lanes text[] NOT NULL,
    outcomes text[] NOT NULL,
    claimed_ats timestamp with time zone[] NOT NULL
)
WITH (autovacuum_vacuum_scale_factor='0', autovacuum_vacuum_threshold='2000', autovacuum_vacuum_insert_scale_factor='0', autovacuum_vacuum_insert_threshold='10000');

ALTER TABLE headrace.flow_release ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME headrace.flow_release_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE headrace.instance (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    audit_age interval DEFAULT '365 days'::interval NOT NULL,
    CONSTRAINT instance_audit_age_check CHECK ((audit_age > '00:00:00'::interval))
);

CREATE SEQUENCE headrace.job_position
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

CREATE TABLE headrace.job (
    worker_id bigint DEFAULT 0 NOT NULL,
    claimed_at timestamp with time zone DEFAULT '-infinity'::timestamp with time zone NOT NULL,
    run integer DEFAULT 0 NOT NULL,
    state headrace.job_state DEFAULT 'queued'::headrace.job_state NOT NULL,
    id uuid NOT NULL,
    "position" bigint DEFAULT nextval('headrace.job_position'::regclass),
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    run_at timestamp with time zone DEFAULT now() NOT NULL,
    expires_at timestamp with time zone,
    priority smallint DEFAULT 0 NOT NULL,
    attempts smallint DEFAULT 0 NOT NULL,
    max_attempts smallint DEFAULT 1 NOT NULL,
    suspicion smallint DEFAULT 0 NOT NULL,
    wake boolean DEFAULT false NOT NULL,
    unique_while_queued boolean DEFAULT false NOT NULL,
    queue text NOT NULL,
    task text NOT NULL,
    args jsonb,
    unique_key text,
    blocked_by text,
    cancel_reason text,
    tenant text,
    correlation_id text,
    tags text[],
    metadata jsonb,
    workflow_id uuid,
    feeds boolean,
    inputs jsonb,
    lane text COLLATE pg_catalog."C",
    look_at timestamp with time zone
)
WITH (fillfactor='50', autovacuum_vacuum_scale_factor='0', autovacuum_vacuum_threshold='5000', autovacuum_vacuum_cost_delay='0', autovacuum_vacuum_insert_scale_factor='0', autovacuum_vacuum_insert_threshold='50000', autovacuum_analyze_scale_factor='0', autovacuum_analyze_threshold='20000', vacuum_truncate=off, toast.autovacuum_vacuum_threshold='1000', toast.autovacuum_vacuum_scale_factor='0');

CREATE TABLE headrace.job_history (
    id uuid NOT NULL,
    state headrace.job_state NOT NULL,
    retention headrace.retention NOT NULL,
    finished_at timestamp with time zone NOT NULL,
    claimed_at timestamp with time zone NOT NULL,
    created_at timestamp with time zone NOT NULL,
    run_at timestamp with time zone,
    expires_at timestamp with time zone,
    worker_id bigint NOT NULL,
    run integer NOT NULL,
    priority smallint NOT NULL,
    attempts smallint NOT NULL,
    max_attempts smallint NOT NULL,
    bounded boolean NOT NULL,
    queue text NOT NULL,
    task text NOT NULL,
    args jsonb,
    result jsonb,
    error jsonb,
    progress jsonb,
    unique_key text,
    tenant text,
    correlation_id text,
    tags text[],
    metadata jsonb,
    workflow_id uuid,
    feeds boolean,
    inputs jsonb
)
PARTITION BY LIST (retention);

CREATE TABLE headrace.job_history_long (
    id uuid CONSTRAINT job_history_id_not_null NOT NULL,
    state headrace.job_state CONSTRAINT job_history_state_not_null NOT NULL,
    retention headrace.retention CONSTRAINT job_history_retention_not_null NOT NULL,
    finished_at timestamp with time zone CONSTRAINT job_history_finished_at_not_null NOT NULL,
    claimed_at timestamp with time zone CONSTRAINT job_history_claimed_at_not_null NOT NULL,
    created_at timestamp with time zone CONSTRAINT job_history_created_at_not_null NOT NULL,
    run_at timestamp with time zone,
    expires_at timestamp with time zone,
    worker_id bigint CONSTRAINT job_history_worker_id_not_null NOT NULL,
    run integer CONSTRAINT job_history_run_not_null NOT NULL,
    priority smallint CONSTRAINT job_history_priority_not_null NOT NULL,
    attempts smallint CONSTRAINT job_history_attempts_not_null NOT NULL,
    max_attempts smallint CONSTRAINT job_history_max_attempts_not_null NOT NULL,
    bounded boolean CONSTRAINT job_history_bounded_not_null NOT NULL,
    queue text CONSTRAINT job_history_queue_not_null NOT NULL,
    task text CONSTRAINT job_history_task_not_null NOT NULL,
    args jsonb,
    result jsonb,
    error jsonb,
    progress jsonb,
    unique_key text,
    tenant text,
    correlation_id text,
    tags text[],
    metadata jsonb,
    workflow_id uuid,
    feeds boolean,
    inputs jsonb
)
PARTITION BY RANGE (finished_at);

CREATE TABLE headrace.job_history_normal (
    id uuid CONSTRAINT job_history_id_not_null NOT NULL,
    state headrace.job_state CONSTRAINT job_history_state_not_null NOT NULL,
    retention headrace.retention CONSTRAINT job_history_retention_not_null NOT NULL,
    finished_at timestamp with time zone CONSTRAINT job_history_finished_at_not_null NOT NULL,
    claimed_at timestamp with time zone CONSTRAINT job_history_claimed_at_not_null NOT NULL,
    created_at timestamp with time zone CONSTRAINT job_history_created_at_not_null NOT NULL,
    run_at timestamp with time zone,
    expires_at timestamp with time zone,
    worker_id bigint CONSTRAINT job_history_worker_id_not_null NOT NULL,
    run integer CONSTRAINT job_history_run_not_null NOT NULL,
    priority smallint CONSTRAINT job_history_priority_not_null NOT NULL,
    attempts smallint CONSTRAINT job_history_attempts_not_null NOT NULL,
    max_attempts smallint CONSTRAINT job_history_max_attempts_not_null NOT NULL,
    bounded boolean CONSTRAINT job_history_bounded_not_null NOT NULL,
    queue text CONSTRAINT job_history_queue_not_null NOT NULL,
    task text CONSTRAINT job_history_task_not_null NOT NULL,
    args jsonb,
    result jsonb,
    error jsonb,
    progress jsonb,
    unique_key text,
    tenant text,
    correlation_id text,
    tags text[],
    metadata jsonb,
    workflow_id uuid,
    feeds boolean,
    inputs jsonb
)
PARTITION BY RANGE (finished_at);

CREATE TABLE headrace.job_history_short (
    id uuid CONSTRAINT job_history_id_not_null NOT NULL,
    state headrace.job_state CONSTRAINT job_history_state_not_null NOT NULL,
    retention headrace.retention CONSTRAINT job_history_retention_not_null NOT NULL,
    finished_at timestamp with time zone CONSTRAINT job_history_finished_at_not_null NOT NULL,
    claimed_at timestamp with time zone CONSTRAINT job_history_claimed_at_not_null NOT NULL,
    created_at timestamp with time zone CONSTRAINT job_history_created_at_not_null NOT NULL,
    run_at timestamp with time zone,
    expires_at timestamp with time zone,
    worker_id bigint CONSTRAINT job_history_worker_id_not_null NOT NULL,
    run integer CONSTRAINT job_history_run_not_null NOT NULL,
    priority smallint CONSTRAINT job_history_priority_not_null NOT NULL,
    attempts smallint CONSTRAINT job_history_attempts_not_null NOT NULL,
    max_attempts smallint CONSTRAINT job_history_max_attempts_not_null NOT NULL,
    bounded boolean CONSTRAINT job_history_bounded_not_null NOT NULL,
    queue text CONSTRAINT job_history_queue_not_null NOT NULL,
    task text CONSTRAINT job_history_task_not_null NOT NULL,
    args jsonb,
    result jsonb,
    error jsonb,
    progress jsonb,
    unique_key text,
    tenant text,
    correlation_id text,
    tags text[],
    metadata jsonb,
    workflow_id uuid,
    feeds boolean,
    inputs jsonb
)
PARTITION BY RANGE (finished_at);

CREATE TABLE headrace.job_log (
    job_id uuid NOT NULL,
    run integer NOT NULL,
    logged_at timestamp with time zone NOT NULL,
    level text NOT NULL,
    message text NOT NULL
)
PARTITION BY RANGE (logged_at);

CREATE TABLE headrace.job_progress (
    job_id uuid NOT NULL,
    run integer NOT NULL,
    done double precision NOT NULL,
    total double precision,
    message text,
    reported_at timestamp with time zone DEFAULT now() NOT NULL
)
WITH (fillfactor='50', autovacuum_vacuum_scale_factor='0', autovacuum_vacuum_threshold='1000');

CREATE TABLE headrace.payload (
    job_id uuid NOT NULL,
    created_at timestamp with time zone NOT NULL,
    args jsonb NOT NULL
)
PARTITION BY RANGE (created_at);

CREATE VIEW headrace.jobs AS
 SELECT j.id,
    j.state,
    j.task,
    j.queue,
    j.priority,
    j.attempts,
    j.max_attempts,
    j.run,
    COALESCE(j.args, ( SELECT p.args
           FROM headrace.payload p
          WHERE ((p.job_id = j.id) AND (p.created_at = j.created_at)))) AS args,
    NULL::jsonb AS result,
    NULL::jsonb AS error,
    j.created_at,
    j.run_at,
    j.expires_at,
    NULLIF(j.claimed_at, '-infinity'::timestamp with time zone) AS claimed_at,
    NULL::timestamp with time zone AS finished_at,
    NULLIF(j.worker_id, 0) AS worker_id,
    j.unique_key,
    j.blocked_by,
    j.cancel_reason,
    j.tenant,
    j.correlation_id,
    j.tags,
    j.metadata,
    ( SELECT jsonb_build_object('done', g.done, 'total', g.total, 'message', g.message) AS jsonb_build_object
           FROM headrace.job_progress g
          WHERE ((g.job_id = j.id) AND (g.run = j.run))) AS progress,
    j.workflow_id
   FROM headrace.job j
UNION ALL
 SELECT h.id,
    h.state,
    h.task,
    h.queue,
    h.priority,
    h.attempts,
    h.max_attempts,
    h.run,
    COALESCE(h.args, ( SELECT p.args
           FROM headrace.payload p
          WHERE ((p.job_id = h.id) AND (p.created_at = h.created_at)))) AS args,
    h.result,
    h.error,
    h.created_at,
    COALESCE(h.run_at, h.created_at) AS run_at,
    h.expires_at,
    NULLIF(h.claimed_at, '-infinity'::timestamp with time zone) AS claimed_at,
    h.finished_at,
    NULLIF(h.worker_id, 0) AS worker_id,
    h.unique_key,
    NULL::text AS blocked_by,
    NULL::text AS cancel_reason,
    h.tenant,
    h.correlation_id,
    h.tags,
    h.metadata,
    h.progress,
    h.workflow_id
   FROM headrace.job_history h;

CREATE TABLE headrace.lost_worker (
    worker_id bigint NOT NULL,
    host text NOT NULL,
    pid integer NOT NULL,
    lost_at timestamp with time zone DEFAULT now() NOT NULL
);

CREATE TABLE headrace.operation (
    id bigint NOT NULL,
    state text DEFAULT 'waiting'::text NOT NULL,
    action text NOT NULL,
    settings jsonb DEFAULT '{}'::jsonb NOT NULL,
    filter text,
    ids uuid[],
    tenant text,
    started_by text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    starts_at timestamp with time zone NOT NULL,
    taken_until timestamp with time zone DEFAULT '-infinity'::timestamp with time zone NOT NULL,
    chunks integer DEFAULT 0 NOT NULL,
    place text,
    estimate bigint,
    done bigint DEFAULT 0 NOT NULL,
    skipped bigint DEFAULT 0 NOT NULL,
    failed bigint DEFAULT 0 NOT NULL,
    finished_at timestamp with time zone,
    cancelled_by text,
    problem text,
    CONSTRAINT operation_action_check CHECK ((action = ANY (ARRAY['retry'::text, 'cancel'::text, 'delete'::text, 'run_now'::text, 'set_priority'::text, 'move'::text]))),
    CONSTRAINT operation_check CHECK (((filter IS NULL) <> (ids IS NULL))),
    CONSTRAINT operation_state_check CHECK ((state = ANY (ARRAY['waiting'::text, 'running'::text, 'finished'::text, 'cancelled'::text, 'failed'::text])))
)
WITH (fillfactor='50', autovacuum_vacuum_scale_factor='0', autovacuum_vacuum_threshold='500');

ALTER TABLE headrace.operation ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME headrace.operation_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE headrace.pause (
    queue text NOT NULL,
    reason text,
    paused_at timestamp with time zone DEFAULT now() NOT NULL,
    until timestamp with time zone,
    paused_by text
);

CREATE TABLE headrace.queue (
    name text NOT NULL,
    concurrency integer,
    max_queued integer,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT queue_concurrency_check CHECK ((concurrency >= 0)),
    CONSTRAINT queue_max_queued_check CHECK ((max_queued >= 0))
);

CREATE TABLE headrace.queue_sample (
    step text NOT NULL,
    start_at timestamp with time zone NOT NULL,
    queue text NOT NULL,
    samples integer NOT NULL,
    queued bigint NOT NULL,
    running bigint NOT NULL,
    scheduled bigint NOT NULL,
    blocked bigint NOT NULL,
    queued_max bigint NOT NULL,
    running_max bigint NOT NULL,
    scheduled_max bigint NOT NULL,
    blocked_max bigint NOT NULL,
    oldest_s_max double precision NOT NULL,
    CONSTRAINT queue_sample_step_check CHECK ((step = ANY (ARRAY['minute'::text, 'hour'::text, 'day'::text])))
)
WITH (fillfactor='50', autovacuum_vacuum_scale_factor='0.02', autovacuum_vacuum_threshold='2000');

CREATE TABLE headrace.rollup (
    step text NOT NULL,
    scope smallint NOT NULL,
    start_at timestamp with time zone NOT NULL,
    queue text NOT NULL,
    task text NOT NULL,
    started bigint NOT NULL,
    succeeded bigint NOT NULL,
    failed bigint NOT NULL,
    cancelled bigint NOT NULL,
    retried bigint NOT NULL,
    rescued bigint NOT NULL,
    waits integer[] NOT NULL,
    runs integer[] NOT NULL,
    CONSTRAINT rollup_scope_check CHECK ((scope = ANY (ARRAY[0, 1, 2]))),
    CONSTRAINT rollup_step_check CHECK ((step = ANY (ARRAY['minute'::text, 'hour'::text, 'day'::text])))
)
WITH (fillfactor='50', autovacuum_vacuum_scale_factor='0.02', autovacuum_vacuum_threshold='2000');

CREATE TABLE headrace.rollup_look (
    one boolean DEFAULT true NOT NULL,
    source text,
    looked_ats timestamp with time zone[] DEFAULT '{}'::timestamp with time zone[] NOT NULL,
    began_at timestamp with time zone,
    began_with pg_snapshot,
    sampled_at timestamp with time zone DEFAULT '-infinity'::timestamp with time zone NOT NULL,
    sample_took interval DEFAULT '00:00:00'::interval NOT NULL,
    CONSTRAINT rollup_look_one_check CHECK (one)
);

CREATE TABLE headrace.rollup_seen (
    from_at timestamp with time zone NOT NULL,
    snapshot pg_snapshot NOT NULL
);

CREATE TABLE headrace.schedule_code (
    schedule text NOT NULL,
    worker_id bigint NOT NULL,
    digest text NOT NULL,
    generation bigint NOT NULL
);

CREATE TABLE headrace.schema_version (
    version integer NOT NULL,
    name text NOT NULL,
    checksum text NOT NULL,
    applied_at timestamp with time zone DEFAULT now() NOT NULL
);

CREATE TABLE headrace.step (
    job_id uuid NOT NULL,
    ordinal integer NOT NULL,
    run integer NOT NULL,
    kind text NOT NULL,
    name text NOT NULL,
    outcome text NOT NULL,
    recorded_at timestamp with time zone NOT NULL,
    finished_at timestamp with time zone,
    wakes_at timestamp with time zone,
    took_s double precision,
    result jsonb
)
PARTITION BY RANGE (recorded_at);

CREATE TABLE headrace.task (
    name text NOT NULL,
    queue text NOT NULL,
    priority smallint NOT NULL,
    max_attempts smallint NOT NULL,
    succeeded_age interval NOT NULL,
    succeeded_count integer,
    failed_age interval NOT NULL,
    failed_count integer,
    cancelled_age interval NOT NULL,
    cancelled_count integer,
    registered_at timestamp with time zone DEFAULT now() NOT NULL,
    aliases text[],
    secrets jsonb
);

CREATE TABLE headrace.tick (
    schedule text NOT NULL,
    tenant text DEFAULT ''::text NOT NULL,
    nominal timestamp without time zone NOT NULL,
    fold smallint NOT NULL,
    due_at timestamp with time zone NOT NULL,
    fired_at timestamp with time zone NOT NULL,
    cause text DEFAULT 'due'::text NOT NULL,
    outcome text NOT NULL,
    job_id uuid,
    through timestamp with time zone,
    detail text,
    CONSTRAINT tick_cause_check CHECK ((cause = ANY (ARRAY['due'::text, 'run_now'::text, 'backfill'::text]))),
    CONSTRAINT tick_outcome_check CHECK ((outcome = ANY (ARRAY['enqueued'::text, 'waiting'::text, 'overlapped'::text, 'skipped'::text, 'paused'::text, 'missed'::text, 'refused'::text])))
);

CREATE TABLE headrace.webhook (
    name text NOT NULL,
    url text NOT NULL,
    tasks text[] DEFAULT '{}'::text[] NOT NULL,
    states headrace.job_state[] DEFAULT '{succeeded,failed,cancelled}'::headrace.job_state[] NOT NULL,
    tenant text,
    enabled boolean DEFAULT true NOT NULL,
    disabled_reason text,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT webhook_states_check CHECK ((states <@ '{succeeded,failed,cancelled}'::headrace.job_state[]))
);

CREATE TABLE headrace.webhook_due (
    id bigint NOT NULL,
    job jsonb NOT NULL
)
WITH (autovacuum_vacuum_scale_factor='0', autovacuum_vacuum_threshold='1000', autovacuum_vacuum_cost_delay='0', autovacuum_vacuum_insert_threshold='-1');

ALTER TABLE headrace.webhook_due ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME headrace.webhook_due_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE headrace.webhook_secret (
    name text NOT NULL,
    secret text NOT NULL,
    previous text,
    previous_until timestamp with time zone
);

CREATE TABLE headrace.worker (
    id bigint NOT NULL,
    beat bigint DEFAULT 0 NOT NULL,
    beaten_at timestamp with time zone DEFAULT now() NOT NULL,
    started_at timestamp with time zone DEFAULT now() NOT NULL,
    draining boolean DEFAULT false NOT NULL,
    host text NOT NULL,
    pid integer NOT NULL,
    version text NOT NULL,
    queues jsonb NOT NULL
)
WITH (fillfactor='50', autovacuum_vacuum_scale_factor='0', autovacuum_vacuum_threshold='200');

ALTER TABLE headrace.worker ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME headrace.worker_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE headrace.workflow (
    id uuid NOT NULL,
    state headrace.job_state DEFAULT 'running'::headrace.job_state NOT NULL,
    policy text NOT NULL,
    finishing boolean DEFAULT false NOT NULL,
    blocked integer DEFAULT 0 NOT NULL,
    queued integer DEFAULT 0 NOT NULL,
    succeeded integer DEFAULT 0 NOT NULL,
    failed integer DEFAULT 0 NOT NULL,
    cancelled integer DEFAULT 0 NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    finished_at timestamp with time zone,
    name text,
    cancel_reason text,
    callbacks jsonb,
    CONSTRAINT workflow_policy_check CHECK ((policy = ANY (ARRAY['stop'::text, 'continue'::text])))
)
WITH (fillfactor='50', autovacuum_vacuum_scale_factor='0', autovacuum_vacuum_threshold='1000');

CREATE TABLE headrace.workflow_change (
    id bigint NOT NULL,
    at timestamp with time zone DEFAULT now() NOT NULL,
    workflow_id uuid NOT NULL,
    job_id uuid NOT NULL,
    state headrace.job_state NOT NULL,
    result jsonb
)
WITH (autovacuum_vacuum_scale_factor='0', autovacuum_vacuum_threshold='1000', autovacuum_vacuum_cost_delay='0', autovacuum_vacuum_insert_threshold='-1');

ALTER TABLE headrace.workflow_change ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME headrace.workflow_change_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE headrace.workflow_node (
    job_id uuid NOT NULL,
    change_id bigint DEFAULT 0 NOT NULL,
    pending integer DEFAULT 0 NOT NULL,
    state headrace.job_state,
    kind text DEFAULT 'job'::text NOT NULL,
    feeds boolean DEFAULT false NOT NULL,
    workflow_id uuid NOT NULL,
    delay interval,
    doomed_by uuid,
    move text,
    name text,
    parents uuid[],
    result jsonb
)
WITH (fillfactor='70', autovacuum_vacuum_scale_factor='0.02', autovacuum_vacuum_threshold='5000', autovacuum_vacuum_cost_delay='0');

ALTER TABLE ONLY headrace.job_history ATTACH PARTITION headrace.job_history_long FOR VALUES IN ('long');

ALTER TABLE ONLY headrace.job_history ATTACH PARTITION headrace.job_history_normal FOR VALUES IN ('normal');

ALTER TABLE ONLY headrace.job_history ATTACH PARTITION headrace.job_history_short FOR VALUES IN ('short');

ALTER TABLE ONLY headrace.access_key
    ADD CONSTRAINT access_key_pkey PRIMARY KEY (prefix);

ALTER TABLE ONLY headrace.access_link
    ADD CONSTRAINT access_link_pkey PRIMARY KEY (digest);

ALTER TABLE ONLY headrace.access_session
    ADD CONSTRAINT access_session_pkey PRIMARY KEY (digest);

ALTER TABLE ONLY headrace.access_try
    ADD CONSTRAINT access_try_pkey PRIMARY KEY (key);

ALTER TABLE ONLY headrace.access_user
    ADD CONSTRAINT access_user_pkey PRIMARY KEY (name);

ALTER TABLE ONLY headrace.alert_look
    ADD CONSTRAINT alert_look_pkey PRIMARY KEY (only_row);

ALTER TABLE ONLY headrace.alert_message
    ADD CONSTRAINT alert_message_pkey PRIMARY KEY (id);

ALTER TABLE ONLY headrace.alert
    ADD CONSTRAINT alert_pkey PRIMARY KEY (rule, subject);

ALTER TABLE ONLY headrace.dependency
    ADD CONSTRAINT dependency_pkey PRIMARY KEY (parent, child);

ALTER TABLE ONLY headrace.deploy
    ADD CONSTRAINT deploy_pkey PRIMARY KEY (id);

ALTER TABLE ONLY headrace.enqueue_key
    ADD CONSTRAINT enqueue_key_pkey PRIMARY KEY (task, tenant, key);

ALTER TABLE ONLY headrace.event
    ADD CONSTRAINT event_pkey PRIMARY KEY (name);

ALTER TABLE ONLY headrace.flow_gate
    ADD CONSTRAINT flow_gate_pkey PRIMARY KEY (limit_id, key);

ALTER TABLE ONLY headrace.flow_limit
    ADD CONSTRAINT flow_limit_name_key UNIQUE (name);

ALTER TABLE ONLY headrace.flow_limit
    ADD CONSTRAINT flow_limit_pkey PRIMARY KEY (id);

ALTER TABLE ONLY headrace.flow_queue
    ADD CONSTRAINT flow_queue_pkey PRIMARY KEY (queue);

ALTER TABLE ONLY headrace.flow_release
    ADD CONSTRAINT flow_release_pkey PRIMARY KEY (id);

ALTER TABLE ONLY headrace.job
    ADD CONSTRAINT job_pkey PRIMARY KEY (id);

ALTER TABLE ONLY headrace.job_progress
    ADD CONSTRAINT job_progress_pkey PRIMARY KEY (job_id);

ALTER TABLE ONLY headrace.lost_worker
    ADD CONSTRAINT lost_worker_pkey PRIMARY KEY (worker_id);

ALTER TABLE ONLY headrace.operation
    ADD CONSTRAINT operation_pkey PRIMARY KEY (id);

ALTER TABLE ONLY headrace.pause
    ADD CONSTRAINT pause_pkey PRIMARY KEY (queue);

ALTER TABLE ONLY headrace.queue
    ADD CONSTRAINT queue_pkey PRIMARY KEY (name);

ALTER TABLE ONLY headrace.queue_sample
    ADD CONSTRAINT queue_sample_pkey PRIMARY KEY (step, start_at, queue);

ALTER TABLE ONLY headrace.rollup_look
    ADD CONSTRAINT rollup_look_pkey PRIMARY KEY (one);

ALTER TABLE ONLY headrace.rollup
    ADD CONSTRAINT rollup_pkey PRIMARY KEY (step, scope, task, queue, start_at);

ALTER TABLE ONLY headrace.rollup_seen
    ADD CONSTRAINT rollup_seen_pkey PRIMARY KEY (from_at);

ALTER TABLE ONLY headrace.schedule_code
    ADD CONSTRAINT schedule_code_pkey PRIMARY KEY (schedule, worker_id);

ALTER TABLE ONLY headrace.schedule_due
    ADD CONSTRAINT schedule_due_pkey PRIMARY KEY (schedule, tenant);

ALTER TABLE ONLY headrace.schedule
    ADD CONSTRAINT schedule_pkey PRIMARY KEY (name);

ALTER TABLE ONLY headrace.schema_version
    ADD CONSTRAINT schema_version_pkey PRIMARY KEY (version);

ALTER TABLE ONLY headrace.task
    ADD CONSTRAINT task_pkey PRIMARY KEY (name);

ALTER TABLE ONLY headrace.tick
    ADD CONSTRAINT tick_pkey PRIMARY KEY (schedule, tenant, nominal, fold);

ALTER TABLE ONLY headrace.webhook_due
    ADD CONSTRAINT webhook_due_pkey PRIMARY KEY (id);

ALTER TABLE ONLY headrace.webhook
    ADD CONSTRAINT webhook_pkey PRIMARY KEY (name);

ALTER TABLE ONLY headrace.webhook_secret
    ADD CONSTRAINT webhook_secret_pkey PRIMARY KEY (name);

ALTER TABLE ONLY headrace.worker
    ADD CONSTRAINT worker_pkey PRIMARY KEY (id);

ALTER TABLE ONLY headrace.workflow_node
    ADD CONSTRAINT workflow_node_pkey PRIMARY KEY (job_id);

ALTER TABLE ONLY headrace.workflow
    ADD CONSTRAINT workflow_pkey PRIMARY KEY (id);

CREATE UNIQUE INDEX access_key_name ON headrace.access_key USING btree (name) WHERE (revoked_at IS NULL);

CREATE INDEX access_session_user ON headrace.access_session USING btree (user_name);

CREATE UNIQUE INDEX access_user_name ON headrace.access_user USING btree (lower(name));

CREATE INDEX attempt_finished ON ONLY headrace.attempt USING btree (finished_at);

CREATE INDEX attempt_job ON ONLY headrace.attempt USING btree (job_id, run);

CREATE INDEX audit_action ON ONLY headrace.audit USING btree (action, id);

CREATE INDEX audit_by ON ONLY headrace.audit USING btree (by, id);

CREATE INDEX audit_id ON ONLY headrace.audit USING btree (id);

CREATE INDEX audit_targets ON ONLY headrace.audit USING gin (targets);

CREATE UNIQUE INDEX deploy_automatic ON headrace.deploy USING btree (label) WHERE automatic;

CREATE INDEX deploy_deployed_at ON headrace.deploy USING btree (deployed_at);

CREATE INDEX enqueue_key_expiry ON headrace.enqueue_key USING btree (expires_at);

CREATE INDEX event_expiry ON headrace.event USING btree (expires_at);

CREATE INDEX event_undelivered ON headrace.event USING btree (emitted_at, name) WHERE (NOT delivered);

CREATE INDEX job_blocked ON headrace.job USING btree (blocked_by, task) WHERE (blocked_by IS NOT NULL);

CREATE INDEX job_claim ON headrace.job USING btree (queue, priority DESC, "position") WHERE (("position" IS NOT NULL) AND (suspicion = 0) AND (lane IS NULL));

CREATE INDEX job_due ON headrace.job USING btree (run_at, id) WHERE (("position" IS NULL) AND (blocked_by IS NULL));

CREATE INDEX job_history_bounded ON ONLY headrace.job_history USING btree (task, state, finished_at) WHERE bounded;

CREATE INDEX job_history_finished ON ONLY headrace.job_history USING btree (finished_at);

CREATE INDEX job_history_id ON ONLY headrace.job_history USING btree (id);

CREATE INDEX job_history_which ON ONLY headrace.job_history USING brin (correlation_id text_bloom_ops (n_distinct_per_range='4000'), workflow_id uuid_bloom_ops (n_distinct_per_range='1000')) WITH (pages_per_range='128', autosummarize='on');

CREATE INDEX job_history_long_correlation_id_workflow_id_idx ON ONLY headrace.job_history_long USING brin (correlation_id text_bloom_ops (n_distinct_per_range='4000'), workflow_id uuid_bloom_ops (n_distinct_per_range='1000')) WITH (pages_per_range='128', autosummarize='on');

CREATE INDEX job_history_long_finished_at_idx ON ONLY headrace.job_history_long USING btree (finished_at);

CREATE INDEX job_history_long_id_idx ON ONLY headrace.job_history_long USING btree (id);

CREATE INDEX job_history_unsuccessful ON ONLY headrace.job_history USING btree (state, finished_at, id) WHERE (state <> 'succeeded'::headrace.job_state);

CREATE INDEX job_history_long_state_finished_at_id_idx ON ONLY headrace.job_history_long USING btree (state, finished_at, id) WHERE (state <> 'succeeded'::headrace.job_state);

CREATE INDEX job_history_where ON ONLY headrace.job_history USING brin (task text_bloom_ops (n_distinct_per_range='64'), queue text_bloom_ops (n_distinct_per_range='32'), tenant text_bloom_ops (n_distinct_per_range='300')) WITH (pages_per_range='64', autosummarize='on');

CREATE INDEX job_history_long_task_queue_tenant_idx ON ONLY headrace.job_history_long USING brin (task text_bloom_ops (n_distinct_per_range='64'), queue text_bloom_ops (n_distinct_per_range='32'), tenant text_bloom_ops (n_distinct_per_range='300')) WITH (pages_per_range='64', autosummarize='on');

CREATE INDEX job_history_long_task_state_finished_at_idx ON ONLY headrace.job_history_long USING btree (task, state, finished_at) WHERE bounded;

CREATE INDEX job_history_normal_correlation_id_workflow_id_idx ON ONLY headrace.job_history_normal USING brin (correlation_id text_bloom_ops (n_distinct_per_range='4000'), workflow_id uuid_bloom_ops (n_distinct_per_range='1000')) WITH (pages_per_range='128', autosummarize='on');

CREATE INDEX job_history_normal_finished_at_idx ON ONLY headrace.job_history_normal USING btree (finished_at);

CREATE INDEX job_history_normal_id_idx ON ONLY headrace.job_history_normal USING btree (id);

CREATE INDEX job_history_normal_state_finished_at_id_idx ON ONLY headrace.job_history_normal USING btree (state, finished_at, id) WHERE (state <> 'succeeded'::headrace.job_state);

CREATE INDEX job_history_normal_task_queue_tenant_idx ON ONLY headrace.job_history_normal USING brin (task text_bloom_ops (n_distinct_per_range='64'), queue text_bloom_ops (n_distinct_per_range='32'), tenant text_bloom_ops (n_distinct_per_range='300')) WITH (pages_per_range='64', autosummarize='on');

CREATE INDEX job_history_normal_task_state_finished_at_idx ON ONLY headrace.job_history_normal USING btree (task, state, finished_at) WHERE bounded;

CREATE INDEX job_history_short_correlation_id_workflow_id_idx ON ONLY headrace.job_history_short USING brin (correlation_id text_bloom_ops (n_distinct_per_range='4000'), workflow_id uuid_bloom_ops (n_distinct_per_range='1000')) WITH (pages_per_range='128', autosummarize='on');

CREATE INDEX job_history_short_finished_at_idx ON ONLY headrace.job_history_short USING btree (finished_at);

CREATE INDEX job_history_short_id_idx ON ONLY headrace.job_history_short USING btree (id);

CREATE INDEX job_history_short_state_finished_at_id_idx ON ONLY headrace.job_history_short USING btree (state, finished_at, id) WHERE (state <> 'succeeded'::headrace.job_state);

CREATE INDEX job_history_short_task_queue_tenant_idx ON ONLY headrace.job_history_short USING brin (task text_bloom_ops (n_distinct_per_range='64'), queue text_bloom_ops (n_distinct_per_range='32'), tenant text_bloom_ops (n_distinct_per_range='300')) WITH (pages_per_range='64', autosummarize='on');

CREATE INDEX job_history_short_task_state_finished_at_idx ON ONLY headrace.job_history_short USING btree (task, state, finished_at) WHERE bounded;

CREATE INDEX job_lane ON headrace.job USING btree (queue, lane, ((- (priority)::integer)), "position") WHERE (("position" IS NOT NULL) AND (suspicion = 0) AND (lane IS NOT NULL));

CREATE INDEX job_log_job ON ONLY headrace.job_log USING btree (job_id, run, logged_at);

CREATE INDEX job_look ON headrace.job USING btree (look_at, id) WHERE (look_at IS NOT NULL);

CREATE INDEX job_suspect ON headrace.job USING btree (queue, priority DESC, "position") WHERE (("position" IS NOT NULL) AND (suspicion > 0));

CREATE UNIQUE INDEX job_unique ON headrace.job USING btree (task, COALESCE(tenant, ''::text), unique_key) WHERE (unique_key IS NOT NULL);

CREATE INDEX lost_worker_at ON headrace.lost_worker USING btree (lost_at);

CREATE INDEX operation_unfinished ON headrace.operation USING btree (id) WHERE (state = ANY (ARRAY['waiting'::text, 'running'::text]));

CREATE INDEX payload_job ON ONLY headrace.payload USING btree (job_id);

CREATE INDEX rollup_age ON headrace.rollup USING btree (step, start_at);

CREATE INDEX schedule_due_next ON headrace.schedule_due USING btree (next_due) WHERE (next_due IS NOT NULL);

CREATE INDEX schedule_due_waiting ON headrace.schedule_due USING btree (schedule, tenant) WHERE has_waiting;

CREATE INDEX step_job ON ONLY headrace.step USING btree (job_id, ordinal);

CREATE INDEX tick_fired ON headrace.tick USING btree (fired_at);

CREATE INDEX tick_latest ON headrace.tick USING btree (schedule, due_at);

CREATE INDEX tick_waiting ON headrace.tick USING btree (schedule, tenant, due_at) WHERE (outcome = 'waiting'::text);

CREATE INDEX workflow_change_at ON headrace.workflow_change USING btree (at);

CREATE INDEX workflow_change_workflow ON headrace.workflow_change USING btree (workflow_id, at);

CREATE INDEX workflow_finished ON headrace.workflow USING btree (finished_at) WHERE (finished_at IS NOT NULL);

CREATE INDEX workflow_finishing ON headrace.workflow USING btree (id) WHERE finishing;

CREATE INDEX workflow_node_move ON headrace.workflow_node USING btree (workflow_id) WHERE (move IS NOT NULL);

CREATE UNIQUE INDEX workflow_node_name ON headrace.workflow_node USING btree (workflow_id, name) WHERE (name IS NOT NULL);

CREATE INDEX workflow_node_workflow ON headrace.workflow_node USING btree (workflow_id, job_id);

ALTER INDEX headrace.job_history_which ATTACH PARTITION headrace.job_history_long_correlation_id_workflow_id_idx;

ALTER INDEX headrace.job_history_finished ATTACH PARTITION headrace.job_history_long_finished_at_idx;

ALTER INDEX headrace.job_history_id ATTACH PARTITION headrace.job_history_long_id_idx;

ALTER INDEX headrace.job_history_unsuccessful ATTACH PARTITION headrace.job_history_long_state_finished_at_id_idx;

ALTER INDEX headrace.job_history_where ATTACH PARTITION headrace.job_history_long_task_queue_tenant_idx;

ALTER INDEX headrace.job_history_bounded ATTACH PARTITION headrace.job_history_long_task_state_finished_at_idx;

ALTER INDEX headrace.job_history_which ATTACH PARTITION headrace.job_history_normal_correlation_id_workflow_id_idx;

ALTER INDEX headrace.job_history_finished ATTACH PARTITION headrace.job_history_normal_finished_at_idx;

ALTER INDEX headrace.job_history_id ATTACH PARTITION headrace.job_history_normal_id_idx;

ALTER INDEX headrace.job_history_unsuccessful ATTACH PARTITION headrace.job_history_normal_state_finished_at_id_idx;

ALTER INDEX headrace.job_history_where ATTACH PARTITION headrace.job_history_normal_task_queue_tenant_idx;

ALTER INDEX headrace.job_history_bounded ATTACH PARTITION headrace.job_history_normal_task_state_finished_at_idx;

ALTER INDEX headrace.job_history_which ATTACH PARTITION headrace.job_history_short_correlation_id_workflow_id_idx;

ALTER INDEX headrace.job_history_finished ATTACH PARTITION headrace.job_history_short_finished_at_idx;

ALTER INDEX headrace.job_history_id ATTACH PARTITION headrace.job_history_short_id_idx;

ALTER INDEX headrace.job_history_unsuccessful ATTACH PARTITION headrace.job_history_short_state_finished_at_id_idx;

ALTER INDEX headrace.job_history_where ATTACH PARTITION headrace.job_history_short_task_queue_tenant_idx;

ALTER INDEX headrace.job_history_bounded ATTACH PARTITION headrace.job_history_short_task_state_finished_at_idx;

CREATE CONSTRAINT TRIGGER event_announced AFTER INSERT OR UPDATE OF emitted_at ON headrace.event DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION headrace.announce_event();

CREATE TRIGGER flow_release_wake AFTER INSERT ON headrace.flow_release FOR EACH ROW EXECUTE FUNCTION headrace.wake_for_slots();

CREATE TRIGGER job_cap AFTER INSERT ON headrace.job FOR EACH ROW WHEN (new.wake) EXECUTE FUNCTION headrace.check_queue_cap();

CREATE CONSTRAINT TRIGGER job_wake AFTER INSERT ON headrace.job DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (new.wake) EXECUTE FUNCTION headrace.wake_workers();

CREATE TRIGGER keep BEFORE DELETE OR UPDATE ON headrace.audit FOR EACH ROW EXECUTE FUNCTION headrace.keep_audit();

ALTER TABLE ONLY headrace.access_link
    ADD CONSTRAINT access_link_user_name_fkey FOREIGN KEY (user_name) REFERENCES headrace.access_user(name) ON UPDATE CASCADE ON DELETE CASCADE;

ALTER TABLE ONLY headrace.access_session
    ADD CONSTRAINT access_session_user_name_fkey FOREIGN KEY (user_name) REFERENCES headrace.access_user(name) ON UPDATE CASCADE ON DELETE CASCADE;
