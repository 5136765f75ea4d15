-- Refuses an enqueue that leaves more queued jobs in a queue than its max_queued. Concurrent enqueuers do not see each
-- other's uncommitted rows, so together they may pass the bound by what they add at the same time.
create or replace function headrace.check_queue_cap() returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    cap integer;
    waiting bigint;
begin
    select q.max_queued into cap from headrace.queue q where q.name = new.queue;
    if cap is null then
        return null;
    end if;
    select count(*) into waiting from (
        (select from headrace.job j
         where j.queue = new.queue and j.position is not null and j.suspicion = 0 and j.lane is null and j.state = 'queued'
         limit cap + 1)
        union all
        (select from headrace.job j
         where j.queue = new.queue and j.position is not null and j.suspicion = 0 and j.lane is not null and j.state = 'queued'
         limit cap + 1)) w;
    if waiting > cap then
        raise exception using
            errcode = 'HR001',
            message = format('queue "%s" is full: it may hold %s queued jobs', new.queue, cap),
            hint = format('Run more workers, or raise the bound: update headrace.queue set max_queued = ... where name = %L',
                          new.queue);
    end if;
    return null;
end
$$;
drop trigger if exists job_cap on headrace.job;
create trigger job_cap after insert on headrace.job
    for each row when (new.wake) execute function headrace.check_queue_cap();
