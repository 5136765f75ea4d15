-- Reckons with what has become of nodes since the last time: counts them, and finds out who need not wait any more, and who need
-- not run at all. Whether there was anything, so that the caller calls again: what this does makes changes of its own.
--
-- Who does what. Whoever ends a workflow's job, adds one or revives one inserts a row into workflow_change, in its own transaction,
-- and locks nothing. advance_workflows locks workflows' rows, skipping those that somebody holds, and calls this. Everything
-- that depends on what other nodes are is decided here, one transaction at a time for each workflow:
--
-- * A blocked node's `pending` is the number of its parents that are not final. Changes of many parents are added up for each child
--   first, since an UPDATE ... FROM changes a row once.
-- * A node that is added or revived is linked here, not where it was inserted: its parents may have finished meanwhile (ENGINE 7).
-- * Where the policy is to stop, what waits for a node that did not succeed is doomed, with all that waits for it in turn.
-- * A job's changes are in the order of their ids, since each is made by whoever held the job; they may be seen in two calls, the
--   older ones last, if a transaction began long before it ended: those are passed over.
--
-- For how plans are kept from depending on statistics see finish_jobs.
create or replace function headrace.reckon_changes(workflows uuid[], since timestamptz) returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_nestloop = off
set enable_mergejoin = off
set jit = off
as $$
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
