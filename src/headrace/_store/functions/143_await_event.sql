-- Whether the event that an attempt waits for has been emitted, and otherwise whether its time is over: whichever it is, is recorded as
-- the step's outcome, for ever. Without either the step is recorded as waiting, from the first time on. Answers nothing if the
-- attempt is no longer this worker's.
create or replace function headrace.await_event(
    worker bigint, job_id uuid, run integer, ordinal integer, event text, timeout_s double precision,
    as_of timestamptz default now()
) returns table (outcome text, payload text, left_s double precision)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_custom_plan
as $$
declare
    since timestamptz := headrace.uuid7_floor(job_id);
    until timestamptz := greatest(now(), as_of) + interval '1 day';
    recorded record;
    emitted record;
begin
    if not headrace.hold_attempt(worker, job_id, run) then
        return;
    end if;
    select s.outcome, s.result, s.wakes_at into recorded
    from headrace.step s
    where s.job_id = await_event.job_id and s.ordinal = await_event.ordinal and s.recorded_at >= since and s.recorded_at < until;
    if recorded.outcome in ('done', 'timed_out') then
        return query select recorded.outcome, recorded.result::text, 0::double precision;
        return;
    end if;
    select e.name, e.payload into emitted from headrace.event e where e.name = event;
    left_s := coalesce(extract(epoch from recorded.wakes_at - as_of)::double precision, timeout_s);
    outcome := case when emitted.name is not null then 'done' when left_s <= 0 then 'timed_out' else 'waiting' end;
    payload := emitted.payload::text;
    if recorded.outcome is null then
        insert into headrace.step (job_id, ordinal, run, kind, name, outcome, recorded_at, finished_at, wakes_at, result)
        values (await_event.job_id, await_event.ordinal, await_event.run, 'event', event, await_event.outcome, now(),
                case when await_event.outcome <> 'waiting' then now() end, as_of + make_interval(secs => timeout_s),
                emitted.payload);
    elsif outcome <> 'waiting' then
        update headrace.step s
        set outcome = await_event.outcome, run = await_event.run, finished_at = now(), result = emitted.payload
        where s.job_id = await_event.job_id and s.ordinal = await_event.ordinal and s.recorded_at >= since
          and s.recorded_at < until;
    end if;
    return next;
end
$$;
