-- What earlier attempts recorded of a job's steps, in the order in which the handler asks for them; `left_s` is how long a sleep or a
-- wait has yet to go. Between two days, which are known when the query is planned: partitions that are left out only when it runs
-- have cost their planning.
create or replace function headrace.load_steps(job_id uuid, as_of timestamptz default now())
    returns table (ordinal integer, kind text, name text, run integer, outcome text, result text, left_s double precision)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_custom_plan
as $$
declare
    since timestamptz := headrace.uuid7_floor(job_id);
    until timestamptz := greatest(now(), as_of) + interval '1 day';
begin
    return query
    select s.ordinal, s.kind, s.name, s.run, s.outcome, s.result::text,
           extract(epoch from s.wakes_at - as_of)::double precision
    from headrace.step s
    where s.job_id = load_steps.job_id and s.recorded_at >= since and s.recorded_at < until
    order by s.ordinal;
end
$$;
