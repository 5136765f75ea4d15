-- The fence of ctx.transaction(): the success of one attempt, in the handler's own transaction. Answers the id if the attempt is no
-- longer this worker's. Waits for whoever holds the job's row: nobody else waits with it.
create or replace function headrace.settle_attempt(worker bigint, id uuid, run integer, result text, progress text)
    returns setof uuid
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    if not exists (select headrace.finish_jobs(worker, array[id], array[run], array['succeeded'], array[result],
                                               array[null]::text[], array[progress])) then
        return next id;
    end if;
end
$$;
