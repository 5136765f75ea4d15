-- Writes down that a new version of the program was deployed. A worker that starts says so (`by_worker`) once for each label, whatever
-- number of them start; people as often as they like. Answers whether it is written down now.
create or replace function headrace.mark_deploy(label text, deployed_by text, by_worker boolean, deployed_at timestamptz default null)
    returns boolean
language sql security definer
set search_path = pg_catalog, pg_temp
as $$
    with added as (
        insert into headrace.deploy (label, deployed_by, automatic, deployed_at)
        select mark_deploy.label, mark_deploy.deployed_by, mark_deploy.by_worker, coalesce(mark_deploy.deployed_at, now())
        where not (by_worker and exists (select from headrace.deploy d where d.label = mark_deploy.label))
        on conflict (label) where automatic do nothing
        returning id
    )
    select exists (select from added)
$$;
