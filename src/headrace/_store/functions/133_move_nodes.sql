-- Releases the nodes that nothing keeps waiting (`ready`), and does what is marked in workflow_node.move. Jobs that somebody holds
-- are left, marked, for the next call. Whether anything moved that has to be reckoned. The caller holds the workflows.
create or replace function headrace.move_nodes(workflows uuid[], ready uuid[]) returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_nestloop = off
set enable_mergejoin = off
set jit = off
as $$
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
