-- Hands back what runs under this worker's lease but is not in its hands: a claim whose answer was lost (ENGINE 1). Such a claim
-- may not have committed yet. It holds the lease's row: then this fails at once (55P03), and has to be tried again. It does
-- not wait, since the heart's beats would wait behind it. Answers the ids.
create or replace function headrace.hand_back_unheld(worker bigint, held uuid[]) returns setof uuid
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_custom_plan
as $$
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
