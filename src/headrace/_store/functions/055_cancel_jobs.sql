-- Cancels jobs that wait at once, and asks running ones to stop: their workers hear of it, and what they report after it
-- is cancelled unless it is success. Answers for each id: cancelled, requested, finished (already) or unknown.
create or replace function headrace.cancel_jobs(ids uuid[], reason text)
    returns table (job_id uuid, outcome text)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_custom_plan
as $$
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
