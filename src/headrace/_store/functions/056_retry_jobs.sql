-- Makes finished jobs run again, with the same id, the next run, a fresh retry budget and, if given, other arguments; jobs
-- that wait for a time or an event run now. Their last attempt moves from the history row to the attempts. A unique key is not taken
-- back. A workflow's job waits until the workflow has reckoned with it: for its parents, if they run again, too. What they recorded
-- of their steps stays, so that they go on after the last one; not if they succeeded, or `from_start` says so. Answers the ids that
-- will run.
create or replace function headrace.retry_jobs(ids uuid[], new_args jsonb default null, from_start boolean default false)
    returns setof uuid
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_custom_plan
as $$
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
