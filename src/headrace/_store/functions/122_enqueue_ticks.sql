-- Enqueues the jobs of ticks that were recorded as enqueued in this transaction. All at once; if that is refused (a queue is
-- full, arguments are too large), one by one, and the ticks whose jobs are refused say so: they must not hold up the others.
create or replace function headrace.enqueue_ticks(jobs jsonb[]) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    job jsonb;
begin
    if cardinality(jobs) = 0 then
        return;
    end if;
    begin
        perform headrace.enqueue_jobs(to_jsonb(jobs));
        return;
    exception when sqlstate 'HR001' or sqlstate 'HR003' then
        null;
    end;
    foreach job in array jobs loop
        begin
            perform headrace.enqueue_jobs(jsonb_build_array(job));
        exception when sqlstate 'HR001' or sqlstate 'HR003' then
            update headrace.tick t
            set outcome = 'refused', detail = sqlerrm, job_id = null
            where t.schedule = job #>> '{metadata,schedule,name}' and t.job_id = (job ->> 'id')::uuid
              and t.nominal = (job #>> '{metadata,schedule,nominal}')::timestamp;
            update headrace.schedule_due d
            set open_jobs = array_remove(d.open_jobs, (job ->> 'id')::uuid)
            where d.schedule = job #>> '{metadata,schedule,name}' and (job ->> 'id')::uuid = any(d.open_jobs);
        end;
    end loop;
end
$$;
