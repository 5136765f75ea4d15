-- Does one chunk of an operation: acts on its jobs and counts them, in one transaction, so that after a crash in the middle nothing of
-- it is done and everything of it is done once more. The number of chunks before it is the fence: whoever comes with a chunk that
-- another worker has done, or after the operation was cancelled, changes nothing. Answers whether it was this one's turn.
--
-- A job that is not the tenant's, or that somebody holds, is skipped. If the action fails for the chunk, it is done job by job, and
-- those that fail are counted: one of them must not stop the others. What a next try may mend is raised.
create or replace function headrace.run_chunk(operation bigint, chunk integer, ids uuid[], place text, last boolean) returns boolean
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_custom_plan
set enable_seqscan = off
set jit = off
as $$
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
