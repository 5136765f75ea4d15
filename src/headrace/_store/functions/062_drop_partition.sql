-- Drops one day partition that is out of retention at `as_of`; answers false if it is not, or if a reader holds it: settles
-- queue behind a DROP that waits, so it never waits long. The caller sets lock_timeout for its transaction.
create or replace function headrace.drop_partition(partition_name text, as_of timestamptz default now()) returns boolean
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '100ms'
as $$
declare
    p record;
    referred boolean;
begin
    select * into p from headrace.list_partitions() l where l.name = partition_name;
    if not found then
        return false;
    end if;
    if p.day + 1 + coalesce(p.keep, interval '0') > (as_of at time zone 'utc') then
        return false;
    end if;
    if p.parent in ('payload', 'step') then
        -- Not while a job, finished or not, keeps its arguments or its steps there.
        execute format(
            'select exists (select from headrace.%I x
                            where (select true from headrace.job j where j.id = x.job_id)
                               or (select true from headrace.job_history h where h.id = x.job_id limit 1))',
            partition_name) into referred;
        if referred then
            return false;
        end if;
    end if;
    execute format('drop table headrace.%I', partition_name);
    return true;
exception when lock_not_available then
    return false;
end
$$;
