-- Workflows. What the nodes of one wait for is kept apart from the jobs: rows of the tables below are written only under the lock
-- of their workflow's row, by short transactions of our own, so that a settle never waits for them, nor they for it. See
-- ../functions/134_reckon_changes.sql for how they move.

create table headrace.workflow (
    id uuid primary key,
    state headrace.job_state not null default 'running', -- running, succeeded, failed or cancelled
    policy text not null check (policy in ('stop', 'continue')),
    finishing boolean not null default false,           -- nothing is left, but somebody may be adding to it
    blocked integer not null default 0,                 -- how many of its jobs wait for others
    queued integer not null default 0,                  -- were released and are not final
    succeeded integer not null default 0,
    failed integer not null default 0,
    cancelled integer not null default 0,
    created_at timestamptz not null default now(),
    finished_at timestamptz,
    name text,
    cancel_reason text,                                 -- not null: all of it was cancelled
    callbacks jsonb                                     -- {on_success, on_failure, on_finished}: jobs as enqueue_jobs takes them
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
create index workflow_finishing on headrace.workflow (id) where finishing;
create index workflow_finished on headrace.workflow (finished_at) where finished_at is not null;

-- A job's place in its workflow, as far as its changes have been reckoned. A barrier has no job: it is there so that a hundred
-- nodes after a hundred others are two hundred dependencies, and not ten thousand.
create table headrace.workflow_node (
    job_id uuid primary key,
    change_id bigint not null default 0,                -- the last change that was reckoned
    pending integer not null default 0,                 -- of a blocked one: how many parents are not final
    state headrace.job_state,                           -- queued: released, the job itself knows more; null: not yet reckoned
    kind text not null default 'job',                   -- job, barrier, on_success, on_failure, on_finished
    feeds boolean not null default false,               -- its result is an argument of others
    workflow_id uuid not null,
    delay interval,                                     -- from its release on
    doomed_by uuid,                                     -- the failed node because of which it is cancelled
    move text,                                          -- release or cancel: to be done, but somebody held the job
    name text,
    parents uuid[],
    result jsonb
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 5000,
        autovacuum_vacuum_cost_delay = 0);
create index workflow_node_workflow on headrace.workflow_node (workflow_id, job_id);
create index workflow_node_move on headrace.workflow_node (workflow_id) where move is not null;
create unique index workflow_node_name on headrace.workflow_node (workflow_id, name) where name is not null;

create table headrace.dependency (
    parent uuid not null,
    child uuid not null,
    primary key (parent, child)
);

-- What became of nodes and has not been reckoned yet. Whoever ends, adds or revives a workflow's job inserts one row here, and
-- touches nothing else of the workflow.
create table headrace.workflow_change (
    id bigint generated always as identity (cache 1),
    at timestamptz not null default now(),
    workflow_id uuid not null,
    job_id uuid not null,
    state headrace.job_state not null,
    result jsonb
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0,
        autovacuum_vacuum_insert_threshold = -1);
create index workflow_change_workflow on headrace.workflow_change (workflow_id, at);
create index workflow_change_at on headrace.workflow_change (at);

alter table headrace.job
    add column workflow_id uuid,
    add column feeds boolean,                           -- its result is kept with its workflow, as an argument of others
    add column inputs jsonb;                            -- arguments that are results of others; see read_input
alter table headrace.job_history
    add column workflow_id uuid,
    add column feeds boolean,
    add column inputs jsonb;

create or replace view headrace.jobs as
    select j.id, j.state, j.task, j.queue, j.priority, j.attempts, j.max_attempts, j.run,
           coalesce(j.args, (select p.args from headrace.payload p
                             where p.job_id = j.id and p.created_at = j.created_at)) as args,
           null::jsonb as result, null::jsonb as error,
           j.created_at, j.run_at, j.expires_at, nullif(j.claimed_at, '-infinity') as claimed_at,
           null::timestamptz as finished_at, nullif(j.worker_id, 0) as worker_id,
           j.unique_key, j.blocked_by, j.cancel_reason, j.tenant, j.correlation_id, j.tags, j.metadata,
           (select jsonb_build_object('done', g.done, 'total', g.total, 'message', g.message)
            from headrace.job_progress g where g.job_id = j.id and g.run = j.run) as progress,
           j.workflow_id
    from headrace.job j
    union all
    select h.id, h.state, h.task, h.queue, h.priority, h.attempts, h.max_attempts, h.run,
           coalesce(h.args, (select p.args from headrace.payload p
                             where p.job_id = h.id and p.created_at = h.created_at)),
           h.result, h.error,
           h.created_at, coalesce(h.run_at, h.created_at), h.expires_at, nullif(h.claimed_at, '-infinity'),
           h.finished_at, nullif(h.worker_id, 0),
           h.unique_key, null, null, h.tenant, h.correlation_id, h.tags, h.metadata,
           h.progress, h.workflow_id
    from headrace.job_history h;
