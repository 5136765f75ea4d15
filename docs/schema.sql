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

CREATE FUNCTION headrace.announce_event() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
    if exists (select from headrace.job j where j.blocked_by = 'event:' || new.name)
       and pg_try_advisory_xact_lock(headrace.lock_key(), 5) then
        perform pg_notify('headrace_event', '');
    end if;
    return null;
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
        select from headrace.job j
        where j.queue = new.queue and j.position is not null and j.suspicion = 0 and j.state = 'queued'
        limit cap + 1) w;
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

CREATE FUNCTION headrace.claim_jobs(worker bigint, queues text[], places integer[], segment_queues text[], lows smallint[], highs smallint[], afters bigint[], befores bigint[]) RETURNS TABLE(id text, run integer, queue text, task text, args text, attempts smallint, max_attempts smallint, suspicion smallint, rank integer, "position" bigint, extras text)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET enable_sort TO 'off'
    AS $$
#variable_conflict use_column
declare
    claimable uuid[];
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
            limit q.places) c);
    if cardinality(claimable) = 0 then
        return;
    end if;
    perform from headrace.worker l where l.id = worker for key share;
    if not found then
        return;
    end if;
    return query
    update headrace.job j
    set worker_id = worker, claimed_at = now(), run = j.run + 1, state = 'running',
        unique_key = case when j.unique_while_queued then null else j.unique_key end
    where j.id = any(claimable)
    returning j.id::text, j.run, j.queue, j.task, j.args::text, j.attempts, j.max_attempts, j.suspicion,
        -j.priority::integer, j.position,
        case when j.tenant is not null or j.correlation_id is not null or j.tags is not null or j.metadata is not null
                  or j.expires_at is not null
             then jsonb_build_object('tenant', j.tenant, 'correlation_id', j.correlation_id, 'tags', j.tags,
                                     'metadata', j.metadata, 'expired', j.expires_at < now())::text end;
end
$$;

CREATE FUNCTION headrace.class_age(class headrace.retention) RETURNS interval
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$
    select case class when 'short' then interval '1 day' when 'normal' then interval '7 days' else interval '90 days' end
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
            made := made + 1;
        end loop;
    end loop;
    return made;
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
        delete from headrace.job j using locked l where j.id = l.id returning j.id
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

CREATE FUNCTION headrace.finish_jobs(worker bigint, ids uuid[], runs integer[], outcomes text[], results text[], errors text[], progresses text[]) RETURNS SETOF uuid
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET enable_nestloop TO 'off'
    SET enable_mergejoin TO 'off'
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
    )
    insert into headrace.job_history (
        id, state, retention, bounded, finished_at, claimed_at, created_at, run_at, expires_at, worker_id, run, priority,
        attempts, max_attempts, queue, task, args, result, error, progress, unique_key, tenant, correlation_id, tags, metadata)
    select g.id, g.final, headrace.retention_class(k.age),
           k.count is not null or k.age < headrace.class_age(headrace.retention_class(k.age)),
           now(), g.claimed_at, g.created_at, g.run_at, g.expires_at, g.worker_id, g.run, g.priority,
           g.attempts + (g.state = 'running' and g.final <> 'cancelled')::integer, g.max_attempts, g.queue, g.task, g.args,
           g.result::jsonb,
           coalesce(g.error::jsonb, case when g.cancel_reason is not null and g.final = 'cancelled'
               then jsonb_build_object('kind', 'cancelled', 'message', g.cancel_reason) end),
           g.progress::jsonb, g.unique_key, g.tenant, g.correlation_id, g.tags, g.metadata
    from gone g
    left join headrace.task t on t.name = g.task
    cross join lateral (
        select case g.final when 'succeeded' then coalesce(t.succeeded_age, interval '7 days')
                            when 'failed' then coalesce(t.failed_age, interval '90 days')
                            else coalesce(t.cancelled_age, interval '7 days') end as age,
               case g.final when 'succeeded' then t.succeeded_count
                            when 'failed' then t.failed_count
                            else t.cancelled_count end as count) k
    returning id;
end
$$;

CREATE FUNCTION headrace.grant_access(role name, access text) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
    schema name := (select relnamespace::regnamespace from pg_class where oid = 'headrace.job'::regclass);
begin
    execute format('grant usage on schema %I to %I', schema, role);
    case access
    when 'worker' then
        execute format('grant select, insert, update, delete on all tables in schema %I to %I', schema, role);
        execute format('grant usage, select on all sequences in schema %I to %I', schema, role);
        execute format('grant execute on all functions in schema %I to %I', schema, role);
    when 'enqueuer' then
        execute format('grant execute on function headrace.enqueue, headrace.enqueue_jobs, headrace.emit to %I', role);
    when 'viewer' then
        execute format('grant select on all tables in schema %I to %I', schema, role);
        execute format('grant execute on function headrace.uuid7_floor, headrace.uuid7_floor_of to %I', role);
    else
        raise exception using errcode = 'HR003',
            message = format('access must be worker, enqueuer or viewer, not "%s"', access);
    end case;
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
    where j.position is not null and (j.suspicion = 0 or j.suspicion > 0) -- both partial indexes, none of the scheduled jobs
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
            queue, task, args, unique_key, tenant, correlation_id, tags, metadata)
        select r.id, (case when r.due then 'queued' else 'scheduled' end)::headrace.job_state,
               case when r.due then nextval('headrace.job_position') end,
               r.run_at, r.expires_at, r.priority, r.max_attempts,
               r.due and row_number() over (partition by r.queue, r.due order by r.ordinal) = 1,
               r.unique_key is not null and r.unique_scope = 'queued',
               r.queue, r.task, case when octet_length(r.args::text) <= 2048 then r.args end,
               r.unique_key, r.tenant, r.correlation_id, r.tags, r.metadata
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

CREATE FUNCTION headrace.release_jobs(worker bigint, ids uuid[], runs integer[], outcomes text[], waits_s double precision[], errors text[]) RETURNS SETOF uuid
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET enable_nestloop TO 'off'
    SET enable_mergejoin TO 'off'
    AS $$
declare
    released uuid[];
    woken text[];
begin
    with held as materialized (
        select j.id, j.run, j.worker_id, j.claimed_at, o.outcome, o.wait_s, o.error
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
    if not pg_try_advisory_xact_lock(headrace.lock_key(), 4) then
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
        where j.position is not null and (j.suspicion = 0 or j.suspicion > 0) -- both partial indexes, none of the scheduled jobs
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
    with gone as (
        delete from headrace.job_history h
        where h.id = any(retry_jobs.ids) and h.finished_at >= headrace.uuid7_floor_of(retry_jobs.ids)
        returning h.*
    ), recorded as (
        insert into headrace.attempt (job_id, run, outcome, worker_id, started_at, finished_at, error)
        select g.id, g.run, g.state::text, g.worker_id, g.claimed_at, g.finished_at, g.error from gone g where g.run > 0
    ), revised as (
        insert into headrace.payload (job_id, created_at, args)
        select g.id, now(), new_args from gone g where large
    ), put_back as (
        insert into headrace.job (
            id, state, created_at, run_at, run, priority, max_attempts, queue, task, args, tenant, correlation_id, tags, metadata)
        select g.id, 'queued', case when large then now() else g.created_at end, now(), g.run,
               g.priority, g.max_attempts, g.queue, g.task, case when new_args is null then g.args when not large then new_args end,
               g.tenant, g.correlation_id, g.tags, g.metadata
        from gone g
        returning id, queue
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

CREATE TABLE headrace.instance (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL
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
    run_at timestamp with time zone NOT NULL,
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
    metadata jsonb
)
PARTITION BY LIST (retention);

CREATE TABLE headrace.job_history_long (
    id uuid CONSTRAINT job_history_id_not_null NOT NULL,
    state headrace.job_state CONSTRAINT job_history_state_not_null NOT NULL,
    retention headrace.retention CONSTRAINT job_history_retention_not_null NOT NULL,
    finished_at timestamp with time zone CONSTRAINT job_history_finished_at_not_null NOT NULL,
    claimed_at timestamp with time zone CONSTRAINT job_history_claimed_at_not_null NOT NULL,
    created_at timestamp with time zone CONSTRAINT job_history_created_at_not_null NOT NULL,
    run_at timestamp with time zone CONSTRAINT job_history_run_at_not_null NOT NULL,
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
    metadata jsonb
)
PARTITION BY RANGE (finished_at);

CREATE TABLE headrace.job_history_normal (
    id uuid CONSTRAINT job_history_id_not_null NOT NULL,
    state headrace.job_state CONSTRAINT job_history_state_not_null NOT NULL,
    retention headrace.retention CONSTRAINT job_history_retention_not_null NOT NULL,
    finished_at timestamp with time zone CONSTRAINT job_history_finished_at_not_null NOT NULL,
    claimed_at timestamp with time zone CONSTRAINT job_history_claimed_at_not_null NOT NULL,
    created_at timestamp with time zone CONSTRAINT job_history_created_at_not_null NOT NULL,
    run_at timestamp with time zone CONSTRAINT job_history_run_at_not_null NOT NULL,
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
    metadata jsonb
)
PARTITION BY RANGE (finished_at);

CREATE TABLE headrace.job_history_short (
    id uuid CONSTRAINT job_history_id_not_null NOT NULL,
    state headrace.job_state CONSTRAINT job_history_state_not_null NOT NULL,
    retention headrace.retention CONSTRAINT job_history_retention_not_null NOT NULL,
    finished_at timestamp with time zone CONSTRAINT job_history_finished_at_not_null NOT NULL,
    claimed_at timestamp with time zone CONSTRAINT job_history_claimed_at_not_null NOT NULL,
    created_at timestamp with time zone CONSTRAINT job_history_created_at_not_null NOT NULL,
    run_at timestamp with time zone CONSTRAINT job_history_run_at_not_null NOT NULL,
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
    metadata jsonb
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
          WHERE ((g.job_id = j.id) AND (g.run = j.run))) AS progress
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
    h.run_at,
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
    h.progress
   FROM headrace.job_history h;

CREATE TABLE headrace.queue (
    name text NOT NULL,
    concurrency integer,
    max_queued integer,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT queue_concurrency_check CHECK ((concurrency >= 0)),
    CONSTRAINT queue_max_queued_check CHECK ((max_queued >= 0))
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
    registered_at timestamp with time zone DEFAULT now() NOT NULL
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

ALTER TABLE ONLY headrace.job_history ATTACH PARTITION headrace.job_history_long FOR VALUES IN ('long');

ALTER TABLE ONLY headrace.job_history ATTACH PARTITION headrace.job_history_normal FOR VALUES IN ('normal');

ALTER TABLE ONLY headrace.job_history ATTACH PARTITION headrace.job_history_short FOR VALUES IN ('short');

ALTER TABLE ONLY headrace.enqueue_key
    ADD CONSTRAINT enqueue_key_pkey PRIMARY KEY (task, tenant, key);

ALTER TABLE ONLY headrace.event
    ADD CONSTRAINT event_pkey PRIMARY KEY (name);

ALTER TABLE ONLY headrace.job
    ADD CONSTRAINT job_pkey PRIMARY KEY (id);

ALTER TABLE ONLY headrace.job_progress
    ADD CONSTRAINT job_progress_pkey PRIMARY KEY (job_id);

ALTER TABLE ONLY headrace.queue
    ADD CONSTRAINT queue_pkey PRIMARY KEY (name);

ALTER TABLE ONLY headrace.schema_version
    ADD CONSTRAINT schema_version_pkey PRIMARY KEY (version);

ALTER TABLE ONLY headrace.task
    ADD CONSTRAINT task_pkey PRIMARY KEY (name);

ALTER TABLE ONLY headrace.worker
    ADD CONSTRAINT worker_pkey PRIMARY KEY (id);

CREATE INDEX attempt_job ON ONLY headrace.attempt USING btree (job_id, run);

CREATE INDEX enqueue_key_expiry ON headrace.enqueue_key USING btree (expires_at);

CREATE INDEX event_expiry ON headrace.event USING btree (expires_at);

CREATE INDEX event_undelivered ON headrace.event USING btree (emitted_at, name) WHERE (NOT delivered);

CREATE INDEX job_blocked ON headrace.job USING btree (blocked_by, task) WHERE (blocked_by IS NOT NULL);

CREATE INDEX job_claim ON headrace.job USING btree (queue, priority DESC, "position") WHERE (("position" IS NOT NULL) AND (suspicion = 0));

CREATE INDEX job_due ON headrace.job USING btree (run_at, id) WHERE (("position" IS NULL) AND (blocked_by IS NULL));

CREATE INDEX job_history_bounded ON ONLY headrace.job_history USING btree (task, state, finished_at) WHERE bounded;

CREATE INDEX job_history_finished ON ONLY headrace.job_history USING btree (finished_at);

CREATE INDEX job_history_id ON ONLY headrace.job_history USING btree (id);

CREATE INDEX job_history_long_finished_at_idx ON ONLY headrace.job_history_long USING btree (finished_at);

CREATE INDEX job_history_long_id_idx ON ONLY headrace.job_history_long USING btree (id);

CREATE INDEX job_history_unsuccessful ON ONLY headrace.job_history USING btree (state, finished_at, id) WHERE (state <> 'succeeded'::headrace.job_state);

CREATE INDEX job_history_long_state_finished_at_id_idx ON ONLY headrace.job_history_long USING btree (state, finished_at, id) WHERE (state <> 'succeeded'::headrace.job_state);

CREATE INDEX job_history_long_task_state_finished_at_idx ON ONLY headrace.job_history_long USING btree (task, state, finished_at) WHERE bounded;

CREATE INDEX job_history_normal_finished_at_idx ON ONLY headrace.job_history_normal USING btree (finished_at);

CREATE INDEX job_history_normal_id_idx ON ONLY headrace.job_history_normal USING btree (id);

CREATE INDEX job_history_normal_state_finished_at_id_idx ON ONLY headrace.job_history_normal USING btree (state, finished_at, id) WHERE (state <> 'succeeded'::headrace.job_state);

CREATE INDEX job_history_normal_task_state_finished_at_idx ON ONLY headrace.job_history_normal USING btree (task, state, finished_at) WHERE bounded;

CREATE INDEX job_history_short_finished_at_idx ON ONLY headrace.job_history_short USING btree (finished_at);

CREATE INDEX job_history_short_id_idx ON ONLY headrace.job_history_short USING btree (id);

CREATE INDEX job_history_short_state_finished_at_id_idx ON ONLY headrace.job_history_short USING btree (state, finished_at, id) WHERE (state <> 'succeeded'::headrace.job_state);

CREATE INDEX job_history_short_task_state_finished_at_idx ON ONLY headrace.job_history_short USING btree (task, state, finished_at) WHERE bounded;

CREATE INDEX job_log_job ON ONLY headrace.job_log USING btree (job_id, run, logged_at);

CREATE INDEX job_look ON headrace.job USING btree (look_at, id) WHERE (look_at IS NOT NULL);

CREATE INDEX job_suspect ON headrace.job USING btree (queue, priority DESC, "position") WHERE (("position" IS NOT NULL) AND (suspicion > 0));

CREATE UNIQUE INDEX job_unique ON headrace.job USING btree (task, COALESCE(tenant, ''::text), unique_key) WHERE (unique_key IS NOT NULL);

CREATE INDEX payload_job ON ONLY headrace.payload USING btree (job_id);

CREATE INDEX step_job ON ONLY headrace.step USING btree (job_id, ordinal);

ALTER INDEX headrace.job_history_finished ATTACH PARTITION headrace.job_history_long_finished_at_idx;

ALTER INDEX headrace.job_history_id ATTACH PARTITION headrace.job_history_long_id_idx;

ALTER INDEX headrace.job_history_unsuccessful ATTACH PARTITION headrace.job_history_long_state_finished_at_id_idx;

ALTER INDEX headrace.job_history_bounded ATTACH PARTITION headrace.job_history_long_task_state_finished_at_idx;

ALTER INDEX headrace.job_history_finished ATTACH PARTITION headrace.job_history_normal_finished_at_idx;

ALTER INDEX headrace.job_history_id ATTACH PARTITION headrace.job_history_normal_id_idx;

ALTER INDEX headrace.job_history_unsuccessful ATTACH PARTITION headrace.job_history_normal_state_finished_at_id_idx;

ALTER INDEX headrace.job_history_bounded ATTACH PARTITION headrace.job_history_normal_task_state_finished_at_idx;

ALTER INDEX headrace.job_history_finished ATTACH PARTITION headrace.job_history_short_finished_at_idx;

ALTER INDEX headrace.job_history_id ATTACH PARTITION headrace.job_history_short_id_idx;

ALTER INDEX headrace.job_history_unsuccessful ATTACH PARTITION headrace.job_history_short_state_finished_at_id_idx;

ALTER INDEX headrace.job_history_bounded ATTACH PARTITION headrace.job_history_short_task_state_finished_at_idx;

CREATE CONSTRAINT TRIGGER event_announced AFTER INSERT OR UPDATE OF emitted_at ON headrace.event DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION headrace.announce_event();

CREATE TRIGGER job_cap AFTER INSERT ON headrace.job FOR EACH ROW WHEN (new.wake) EXECUTE FUNCTION headrace.check_queue_cap();

CREATE CONSTRAINT TRIGGER job_wake AFTER INSERT ON headrace.job DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (new.wake) EXECUTE FUNCTION headrace.wake_workers();
