-- Brings workflows up to date with what has become of their jobs (see reckon_changes), and finishes those of which nothing is left:
-- their callbacks are enqueued, once. Looks at changes since then; answers the ids of workflows that somebody else holds, who is
-- advancing them, or acting on them: to be tried again.
--
-- Waits for nobody. A workflow that somebody is adding to (a row lock of add_to_workflow, as long as the caller's transaction) goes
-- on, but does not finish: it is marked, and tried again.
create or replace function headrace.advance_workflows(ids uuid[], since timestamptz default '-infinity') returns setof uuid
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set jit = off
as $$
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
