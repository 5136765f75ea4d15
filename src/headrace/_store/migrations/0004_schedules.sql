-- Schedules: the rule, what of it is due next, and what became of each moment.

create table headrace.schedule (
    name text primary key,
    task text not null,
    args jsonb not null default '{}',
    queue text,                                         -- null: what the task says, as for the next one
    priority smallint,
    tenant text,
    tags text[],
    cron text,
    every interval,
    at timestamptz,
    timezone text not null default 'UTC',
    start_at timestamptz,
    end_at timestamptz,
    jitter interval not null default '0',
    catch_up text not null default 'latest' check (catch_up in ('skip', 'latest', 'all')),
    catch_up_limit integer not null default 100 check (catch_up_limit > 0),
    overlap text not null default 'skip' check (overlap in ('skip', 'queue', 'cancel', 'allow')),
    per_tenant boolean not null default false,          -- due for each tenant that is added, and for nobody else
    enabled boolean not null default true,              -- false: code declared it, and no longer does
    paused_at timestamptz,
    paused_by text,
    paused_reason text,
    declared text,                                      -- the digest of what code declares; null: made at run time
    edited_at timestamptz,                              -- not null: somebody has changed what code declares
    edited_by text,
    created_at timestamptz not null default now(),
    check (num_nonnulls(cron, every, at) = 1)
);

-- What is due when: one row for a schedule (tenant ''), or one for each tenant of a schedule that is per tenant. Whoever
-- changes a row raises its revision, and a tick counts only if the revision is the one that it was planned with.
create table headrace.schedule_due (
    schedule text not null,
    tenant text not null default '',
    revision bigint not null default 0,
    next_due timestamptz,                               -- when somebody has to look; null: never
    next_at timestamptz not null,                       -- the moment, without jitter; or after what moment to plan
    next_nominal timestamp,                             -- what the clocks show then; null: the next moment has to be planned
    next_fold smallint,
    skip_next boolean not null default false,           -- the next moment gets no job
    has_waiting boolean not null default false,         -- ticks of it wait for its earlier jobs
    open_jobs uuid[] not null default '{}',             -- jobs of it that had not finished when it was last looked at
    problem text,                                       -- why its next moment could not be planned
    cron text,                                          -- a tenant's own, instead of the schedule's, as for the next one
    timezone text,
    args jsonb,                                         -- put over the schedule's
    paused_at timestamptz,
    paused_by text,
    paused_reason text,
    primary key (schedule, tenant)
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);
create index schedule_due_next on headrace.schedule_due (next_due) where next_due is not null;
create index schedule_due_waiting on headrace.schedule_due (schedule, tenant) where has_waiting;

-- Every moment that has come. The key is what makes a tick one tick, whoever computes its time (ENGINE 32).
create table headrace.tick (
    schedule text not null,
    tenant text not null default '',
    nominal timestamp not null,                         -- what the clocks of its zone showed
    fold smallint not null,                             -- 1: for the second time
    due_at timestamptz not null,
    fired_at timestamptz not null,
    cause text not null default 'due' check (cause in ('due', 'run_now', 'backfill')),
    outcome text not null check (outcome in ('enqueued', 'waiting', 'overlapped', 'skipped', 'paused', 'missed', 'refused')),
    job_id uuid,
    through timestamptz,                                -- not null: stands for all missed moments from due_at through this
    detail text,
    primary key (schedule, tenant, nominal, fold)
);
create index tick_latest on headrace.tick (schedule, due_at);
create index tick_waiting on headrace.tick (schedule, tenant, due_at) where outcome = 'waiting';
create index tick_fired on headrace.tick (fired_at);

-- What the code of each live worker declares. Of two declarations of one schedule the one with the larger generation is the
-- newer code's; see declare_schedules.
create table headrace.schedule_code (
    schedule text not null,
    worker_id bigint not null,
    digest text not null,
    generation bigint not null,
    primary key (schedule, worker_id)
);
