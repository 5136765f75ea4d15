-- Records the outcomes of attempts, final or not, in one statement. Only the holder of (job, run, lease) can: answers the
-- ids that this worker no longer held. `again` says that an earlier call's answer was lost: what that call settled counts.
--
-- Whoever acts on a job in an open transaction holds its row: for him the batch does not wait, it raises 55P03 and the worker
-- settles those that nobody holds (ENGINE 8).
create or replace function headrace.settle_jobs(
    worker bigint, ids uuid[], runs integer[], outcomes text[], waits_s double precision[],
    results text[], errors text[], progresses text[], again boolean default false
) returns setof uuid
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
set lock_timeout = '200ms'
as $$
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
