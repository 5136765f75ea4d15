-- What became of jobs, counted: for charts over minutes to months. See ../functions/183_roll_up.sql and
-- docs/decisions/019-rollups.md. Nothing of this is written by who enqueues, claims or settles.

-- One row for each span of time (of each step), queue and task in which something ended; `scope` says which of these are added up.
create table headrace.rollup (
    step text not null check (step in ('minute', 'hour', 'day')),
    scope smallint not null check (scope in (0, 1, 2)), -- 0: a queue's task; 1: a queue, all tasks; 2: everything
    start_at timestamptz not null,                      -- UTC
    queue text not null,                                -- '' where it is added up
    task text not null,
    started bigint not null,                            -- attempts, by when they started; those that still run are not in it
    succeeded bigint not null,                          -- jobs, by when they finished
    failed bigint not null,
    cancelled bigint not null,
    retried bigint not null,                            -- attempts, by when they ended
    rescued bigint not null,
    waits integer[] not null,                           -- from due to started, in buckets: see bucket_of
    runs integer[] not null,                            -- from started to ended
    primary key (step, scope, task, queue, start_at)
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 2000);
create index rollup_age on headrace.rollup (step, start_at);

-- Depths of queues, looked at once a minute: the sums and maxima of the samples in each span.
create table headrace.queue_sample (
    step text not null check (step in ('minute', 'hour', 'day')),
    start_at timestamptz not null,
    queue text not null,                                -- '': all of them
    samples integer not null,
    queued bigint not null,
    running bigint not null,
    scheduled bigint not null,
    blocked bigint not null,
    queued_max bigint not null,
    running_max bigint not null,
    scheduled_max bigint not null,
    blocked_max bigint not null,
    oldest_s_max double precision not null,             -- the longest wait of one that was queued
    primary key (step, start_at, queue)
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 2000);

-- What has been counted: what ended at or after `from_at` (and before the next row's) and was visible to the snapshot.
create table headrace.rollup_seen (
    from_at timestamptz primary key,
    snapshot pg_snapshot not null
);

-- One row: how far the counting is.
create table headrace.rollup_look (
    one boolean primary key default true check (one),
    source text,                                        -- whose transaction numbers the snapshots hold; null: none counted yet
    looked_ats timestamptz[] not null default '{}',     -- when each kind of look was last taken
    began_at timestamptz,                               -- what ended before it is not counted yet,
    began_with pg_snapshot,                             -- of what was visible to this
    sampled_at timestamptz not null default '-infinity', -- when the queues were last sampled
    sample_took interval not null default '0'
);
insert into headrace.rollup_look default values;

-- Moments that a chart should show: a new version of the program.
create table headrace.deploy (
    id bigint generated always as identity primary key,
    deployed_at timestamptz not null default now(),
    label text not null,
    deployed_by text,
    automatic boolean not null default false            -- a worker that started said so
);
create index deploy_deployed_at on headrace.deploy (deployed_at);
-- Of many workers that start with a label, one says so.
create unique index deploy_automatic on headrace.deploy (label) where automatic;

create index attempt_finished on headrace.attempt (finished_at);

alter table headrace.pause add column paused_by text;
