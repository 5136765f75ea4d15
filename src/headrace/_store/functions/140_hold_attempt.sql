-- The fence of a step: whether this worker still holds this attempt. If so, nobody can take it away before the transaction ends, so
-- that the next attempt sees all that this one recorded. A patient caller waits for whoever holds the job's row; others get 55P03.
create or replace function headrace.hold_attempt(worker bigint, job_id uuid, run integer, patient boolean default false)
    returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    if not patient then
        perform set_config('lock_timeout', '200ms', true);
    end if;
    perform from headrace.job j
    where j.id = hold_attempt.job_id and j.run = hold_attempt.run and j.worker_id = worker and j.state = 'running'
    for no key update;
    return found;
end
$$;
