-- Takes back jobs that run under no lease, whoever the worker was: rescue is defined over jobs, so that nothing that a dead
-- worker claimed late is forgotten. A job that was lost before is a suspect; after `poison_limit` losses as a suspect it is
-- failed. Answers id and outcome of at most `chunk` jobs; rows that somebody else has locked are left for the next call.
create or replace function headrace.rescue_jobs(poison_limit integer, chunk integer default 1000)
    returns table (job_id uuid, outcome text)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_custom_plan
as $$
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
        where j.position is not null and ((j.suspicion = 0 and j.lane is null) or (j.suspicion = 0 and j.lane is not null) or j.suspicion > 0) -- three indexes
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
