-- Those of these jobs that have not finished.
create or replace function headrace.unfinished_jobs(ids uuid[]) returns uuid[]
language sql stable
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_custom_plan
as $$
    select coalesce(array_agg(j.id), '{}') from headrace.job j where j.id = any(ids)
$$;
