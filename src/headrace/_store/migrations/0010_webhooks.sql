-- Webhooks: who is told of jobs that have finished. See ../functions/051_finish_jobs.sql and docs/decisions/018-webhooks.md. Without any,
-- a settle reads that there are none, and writes nothing.

create table headrace.webhook (
    name text primary key,
    url text not null,
    tasks text[] not null default '{}',                 -- of these tasks; '*' for all; of others only jobs that name it
    states headrace.job_state[] not null default '{succeeded,failed,cancelled}',
    tenant text,                                        -- only of this tenant's jobs
    enabled boolean not null default true,
    disabled_reason text,                               -- why it is not enabled, if it was not an operator
    created_at timestamptz not null default now(),
    check (states <@ '{succeeded,failed,cancelled}')
);

-- Apart, since not everybody who may read the others may read this.
create table headrace.webhook_secret (
    name text primary key,
    secret text not null,
    previous text,                                      -- signs beside it until `previous_until`
    previous_until timestamptz
);

-- Jobs that have finished and of which somebody is to be told: written with their outcome, and taken by whoever enqueues the
-- deliveries.
create table headrace.webhook_due (
    id bigint generated always as identity (cache 1) primary key,
    job jsonb not null
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0,
        autovacuum_vacuum_insert_threshold = -1);
