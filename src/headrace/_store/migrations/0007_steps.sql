-- Durable steps of jobs, and the events that they wait for.

-- What attempts have recorded of their job's steps, by the day of recording: a later attempt does not do it again. Only the holder of
-- an attempt adds to them (headrace.hold_attempt), so that (job_id, ordinal) is unique without an index that says so.
create table headrace.step (
    job_id uuid not null,
    ordinal integer not null,                           -- the how-manieth step that the handler asks for
    run integer not null,                               -- of the attempt that recorded it
    kind text not null,                                 -- call, sleep or event
    name text not null,
    outcome text not null,                              -- done, waiting or timed_out; a sleep is over at wakes_at
    recorded_at timestamptz not null,
    finished_at timestamptz,                            -- null: it waits
    wakes_at timestamptz,                               -- the end of a sleep; when the wait for an event is given up
    took_s double precision,                            -- by the worker's clock
    result jsonb
) partition by range (recorded_at);
create index step_job on headrace.step (job_id, ordinal);

-- Something named that has happened. Callers insert in their own transactions; headrace.release_waiting tells the jobs that wait.
create table headrace.event (
    name text primary key,
    payload jsonb,
    emitted_at timestamptz not null default now(),
    expires_at timestamptz not null,                    -- forgotten after it, and may be emitted anew
    delivered boolean not null default false            -- all that waited for it are released
);
create index event_undelivered on headrace.event (emitted_at, name) where not delivered;
create index event_expiry on headrace.event (expires_at);

-- When to look at a job that waits for an event: at once after it began to wait, since the event may have come meanwhile, and then
-- when its time is over (run_at). Which event is in blocked_by, as event:NAME.
alter table headrace.job add column look_at timestamptz;
create index job_look on headrace.job (look_at, id) where look_at is not null;

-- Has one parameter more.
drop function if exists headrace.retry_jobs(uuid[], jsonb);
