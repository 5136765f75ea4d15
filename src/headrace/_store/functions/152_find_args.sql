-- The arguments of a job that are too large for its row. In a function, so that the partitions of payload are planned for once in a
-- session, and not in every search.
create or replace function headrace.find_args(job uuid, created timestamptz) returns jsonb
language plpgsql stable parallel safe
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
as $$
begin
    return (select p.args from headrace.payload p where p.job_id = job and p.created_at = created);
end
$$;
