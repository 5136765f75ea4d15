-- Inserts the nodes of a workflow, and their jobs: `jobs` are as enqueue_jobs takes them, without unique keys; `nodes` has an object
-- for each of them and for each barrier, with "id", and "after" (ids of nodes), "kind", "name", "feeds", "delay_s" and "inputs" if
-- need be. Nodes that are there already are left alone, so that a call whose answer was lost may be repeated. Jobs that wait for
-- nothing are queued at once.
--
-- Nodes of a new workflow are reckoned already (`reckoned`); those that are added to one that runs leave a change each.
create or replace function headrace.add_nodes(workflow uuid, jobs jsonb, nodes jsonb, reckoned boolean) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_custom_plan
set enable_nestloop = off
set jit = off
as $$
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
