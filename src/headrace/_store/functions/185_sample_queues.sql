-- Writes down how long the lines are, once a minute; it reads all unfinished jobs. Where that takes long it is done less often, so that
-- it never takes more than a fiftieth of the time. Answers how many queues it saw; null if it was not due, or another worker is at it.
create or replace function headrace.sample_queues(at_moment timestamptz default null) returns integer
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set jit = off
as $$
declare
    began constant timestamptz := clock_timestamp();
    moment constant timestamptz := coalesce(at_moment, began);
    look record;
    seen integer;
begin
    if (select date_trunc('minute', moment, 'UTC') <= l.sampled_at from headrace.rollup_look l)
       or not pg_try_advisory_xact_lock(headrace.lock_key(), 185) then
        return null;
    end if;
    select l.sampled_at, l.sample_took into look from headrace.rollup_look l;
    if date_trunc('minute', moment, 'UTC') <= look.sampled_at or moment < look.sampled_at + 50 * look.sample_took then
        return null;
    end if;
    with line as (
        select coalesce(j.queue, '') as queue,
               count(*) filter (where j.state = 'queued') as queued, count(*) filter (where j.state = 'running') as running,
               count(*) filter (where j.state = 'scheduled') as scheduled, count(*) filter (where j.state = 'blocked') as blocked,
               greatest(0, coalesce(extract(epoch from moment - min(j.run_at) filter (where j.state = 'queued')), 0))::float8 as oldest_s
        from headrace.job j
        group by grouping sets ((j.queue), ())
    ), added as (
        insert into headrace.queue_sample as q (step, start_at, queue, samples, queued, running, scheduled, blocked, queued_max,
                                                running_max, scheduled_max, blocked_max, oldest_s_max)
        select s.step, date_trunc(s.step, moment, 'UTC'), l.queue, 1, l.queued, l.running, l.scheduled, l.blocked, l.queued, l.running,
               l.scheduled, l.blocked, l.oldest_s
        from line l cross join (values ('minute'), ('hour'), ('day')) as s(step)
        on conflict (step, start_at, queue) do update
        set samples = q.samples + 1, queued = q.queued + excluded.queued, running = q.running + excluded.running,
            scheduled = q.scheduled + excluded.scheduled, blocked = q.blocked + excluded.blocked,
            queued_max = greatest(q.queued_max, excluded.queued_max), running_max = greatest(q.running_max, excluded.running_max),
            scheduled_max = greatest(q.scheduled_max, excluded.scheduled_max),
            blocked_max = greatest(q.blocked_max, excluded.blocked_max),
            oldest_s_max = greatest(q.oldest_s_max, excluded.oldest_s_max)
    )
    select count(*) - 1 into seen from line;
    update headrace.rollup_look
    set sampled_at = date_trunc('minute', moment, 'UTC') + interval '59 seconds',
        sample_took = clock_timestamp() - began;
    return seen;
end
$$;
