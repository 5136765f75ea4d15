-- The tables of headrace. What moves rows between them is in ../functions, what reads and writes them in ../queries.
-- Every file is written for the schema "headrace"; another schema's name is put in its place when the file is loaded.

create type headrace.job_state as enum
    ('blocked', 'scheduled', 'queued', 'running', 'succeeded', 'failed', 'cancelled');

-- How long finished jobs are kept: a partition of a class is dropped when all of it is older than the class's age.
create type headrace.retention as enum ('short', 'normal', 'long');

-- One row: which database this is, so that a handler's transaction can be refused in another one.
create table headrace.instance (
    id uuid not null default gen_random_uuid(),
    created_at timestamptz not null default now()
);
insert into headrace.instance default values;

create table headrace.queue (
    name text primary key,
    concurrency integer check (concurrency >= 0),      -- places in each worker; null: what the worker was started with
    max_queued integer check (max_queued >= 0),        -- enqueueing beyond it is refused; null: no bound
    created_at timestamptz not null default now()
);

-- What registered code says of its tasks: written by every worker that starts, read by SQL clients and by settle.
create table headrace.task (
    name text primary key,
    queue text not null,
    priority smallint not null,
    max_attempts smallint not null,
    succeeded_age interval not null,
    succeeded_count integer,                            -- null: no bound by count
    failed_age interval not null,
    failed_count integer,
    cancelled_age interval not null,
    cancelled_count integer,
    registered_at timestamptz not null default now()
);

-- A worker's row is its lease: jobs are running only under a row that exists, and whoever deletes it rescues them.
create table headrace.worker (
    id bigint generated always as identity primary key,
    beat bigint not null default 0,
    beaten_at timestamptz not null default now(),       -- for people; death is judged by `beat` alone
    started_at timestamptz not null default now(),
    draining boolean not null default false,
    host text not null,
    pid integer not null,
    version text not null,
    queues jsonb not null                               -- {queue: places}
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 200);

create sequence headrace.job_position cache 1;

-- Unfinished jobs only. A claim changes the first four columns and nothing that an index, key or predicate reads, so
-- that it stays heap-only (HOT): they are fixed in width, never null, and side by side.
create table headrace.job (
    worker_id bigint not null default 0,                -- 0: nobody's
    claimed_at timestamptz not null default '-infinity',
    run integer not null default 0,                     -- numbers every claim; the fence; never goes back
    state headrace.job_state not null default 'queued',
    id uuid not null,
    position bigint default nextval('headrace.job_position'), -- order of arrival in the claim index; null: not claimable
    created_at timestamptz not null default now(),
    run_at timestamptz not null default now(),
    expires_at timestamptz,                             -- do not start after
    priority smallint not null default 0,
    attempts smallint not null default 0,               -- attempts used
    max_attempts smallint not null default 1,           -- the retry budget
    suspicion smallint not null default 0,              -- 0: innocent; n: was running when n leases were lost
    wake boolean not null default false,                -- the first row of an enqueue call: wakes workers at COMMIT
    unique_while_queued boolean not null default false, -- give the key back at the first claim
    queue text not null,
    task text not null,
    args jsonb,                                         -- null: more than 2 kB, kept once in headrace.payload
    unique_key text,                                    -- held while not null
    blocked_by text,                                    -- what a blocked job waits for
    cancel_reason text,                                 -- not null: cancelling was requested
    tenant text,
    correlation_id text,
    tags text[],
    metadata jsonb,
    primary key (id)
) with (
    fillfactor = 50,
    autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0,
    autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 50000,
    autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 20000,
    vacuum_truncate = off, toast.autovacuum_vacuum_threshold = 1000, toast.autovacuum_vacuum_scale_factor = 0
);

-- In the exact order of the claim. Running jobs stay in it until they are settled.
create index job_claim on headrace.job (queue, priority desc, position)
    where position is not null and suspicion = 0;
create index job_suspect on headrace.job (queue, priority desc, position)
    where position is not null and suspicion > 0;
create index job_due on headrace.job (run_at)
    where position is null and blocked_by is null;
create index job_blocked on headrace.job (blocked_by, task)
    where blocked_by is not null;
create unique index job_unique on headrace.job (task, coalesce(tenant, ''), unique_key)
    where unique_key is not null;

-- Keys that outlive their job: unique for a period, idempotent requests.
create table headrace.enqueue_key (
    task text not null,
    tenant text not null default '',
    key text not null,
    job_id uuid not null,
    expires_at timestamptz not null,
    primary key (task, tenant, key)
);
create index enqueue_key_expiry on headrace.enqueue_key (expires_at);

-- Arguments above 2 kB, written once and kept by the day of enqueueing.
create table headrace.payload (
    job_id uuid not null,
    created_at timestamptz not null,
    args jsonb not null
) partition by range (created_at);
create index payload_job on headrace.payload (job_id);

-- Finished jobs, by retention class and then by day (UTC).
create table headrace.job_history (
    id uuid not null,
    state headrace.job_state not null,
    retention headrace.retention not null,
    finished_at timestamptz not null,
    claimed_at timestamptz not null,
    created_at timestamptz not null,
    run_at timestamptz not null,
    expires_at timestamptz,
    worker_id bigint not null,
    run integer not null,
    priority smallint not null,
    attempts smallint not null,
    max_attempts smallint not null,
    bounded boolean not null,                           -- the task's own retention is tighter than the class's
    queue text not null,
    task text not null,
    args jsonb,
    result jsonb,
    error jsonb,
    progress jsonb,
    unique_key text,
    tenant text,
    correlation_id text,
    tags text[],
    metadata jsonb
) partition by list (retention);
create table headrace.job_history_short partition of headrace.job_history
    for values in ('short') partition by range (finished_at);
create table headrace.job_history_normal partition of headrace.job_history
    for values in ('normal') partition by range (finished_at);
create table headrace.job_history_long partition of headrace.job_history
    for values in ('long') partition by range (finished_at);
create index job_history_id on headrace.job_history (id);
-- Without the id: those that were settled together share one time, and one entry of the index.
create index job_history_finished on headrace.job_history (finished_at);
create index job_history_unsuccessful on headrace.job_history (state, finished_at, id) where state <> 'succeeded';
create index job_history_bounded on headrace.job_history (task, state, finished_at) where bounded;

-- Attempts that were not a job's last; the last one is in its history row.
create table headrace.attempt (
    job_id uuid not null,
    run integer not null,
    outcome text not null,                              -- retried, snoozed, handed_back, parked, lost, failed, cancelled, succeeded
    worker_id bigint not null,
    started_at timestamptz not null,
    finished_at timestamptz not null,
    error jsonb
) partition by range (finished_at);
create index attempt_job on headrace.attempt (job_id, run);

create table headrace.job_log (
    job_id uuid not null,
    run integer not null,
    logged_at timestamptz not null,
    level text not null,
    message text not null
) partition by range (logged_at);
create index job_log_job on headrace.job_log (job_id, run, logged_at);

-- How far running jobs say they are. Not in the job row: a report must never wait for, or hold up, a settle.
create table headrace.job_progress (
    job_id uuid primary key,
    run integer not null,
    done double precision not null,
    total double precision,
    message text,
    reported_at timestamptz not null default now()
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

-- Every job, finished or not, for reading.
create view headrace.jobs as
    select j.id, j.state, j.task, j.queue, j.priority, j.attempts, j.max_attempts, j.run,
           coalesce(j.args, (select p.args from headrace.payload p
                             where p.job_id = j.id and p.created_at = j.created_at)) as args,
           null::jsonb as result, null::jsonb as error,
           j.created_at, j.run_at, j.expires_at, nullif(j.claimed_at, '-infinity') as claimed_at,
           null::timestamptz as finished_at, nullif(j.worker_id, 0) as worker_id,
           j.unique_key, j.blocked_by, j.cancel_reason, j.tenant, j.correlation_id, j.tags, j.metadata,
           (select jsonb_build_object('done', g.done, 'total', g.total, 'message', g.message)
            from headrace.job_progress g where g.job_id = j.id and g.run = j.run) as progress
    from headrace.job j
    union all
    select h.id, h.state, h.task, h.queue, h.priority, h.attempts, h.max_attempts, h.run,
           coalesce(h.args, (select p.args from headrace.payload p
                             where p.job_id = h.id and p.created_at = h.created_at)),
           h.result, h.error,
           h.created_at, h.run_at, h.expires_at, nullif(h.claimed_at, '-infinity'),
           h.finished_at, nullif(h.worker_id, 0),
           h.unique_key, null, null, h.tenant, h.correlation_id, h.tags, h.metadata,
           h.progress
    from headrace.job_history h;

-- The fence of an attempt.
create type headrace.held as (id uuid, run integer);

-- One job to enqueue, with every default filled in: what headrace.read_requests makes of JSON.
create type headrace.request as (
    ordinal bigint,
    id uuid,
    task text,
    queue text,
    args jsonb,
    priority smallint,
    max_attempts smallint,
    run_at timestamptz,
    due boolean,
    expires_at timestamptz,
    unique_key text,
    unique_scope text,                                  -- queued, unfinished or period
    unique_for interval,
    on_conflict text,                                   -- keep, replace, reschedule or reject
    tenant text,
    correlation_id text,
    tags text[],
    metadata jsonb
);
