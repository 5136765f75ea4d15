-- Flow control: pauses, and limits on what may run at the same time, how often, and in which order. See ../functions/08?_*.sql
-- and docs/decisions/014-flow-control.md. A job without any leaves every column and index of this file alone.

-- What must not be claimed: a queue, or with the name '' all of them.
create table headrace.pause (
    queue text primary key,
    reason text,
    paused_at timestamptz not null default now(),
    until timestamptz                                   -- null: until somebody resumes it
);

-- The limits there are. A limit that another key or kind is put in place of gets a new id: what was counted under the old one
-- does not count for it.
create table headrace.flow_limit (
    id bigint generated always as identity primary key,
    name text not null unique,
    kind text not null check (kind in ('concurrency', 'rate', 'order', 'fair', 'ageing', 'breaker')),
    queue text,                                         -- the jobs of this queue,
    tasks text[],                                       -- or of these tasks, in whatever queue
    key text,                                           -- null: all together; 'tenant'; else a top-level argument's name
    bound integer not null default 1 check (bound >= 0), -- concurrency: slots; rate: starts per `span`; breaker: probes
    span interval not null default '1 second' check (span > '0'), -- ageing: a step of priority; breaker: the window
    burst integer not null default 1 check (burst >= 1),
    settings jsonb not null default '{}',               -- order: on_failure; fair: weights; breaker: ratio, minimum, cool_down_s
    declared boolean not null default false,            -- code declares it
    edited boolean not null default false,              -- an operator has changed it since: code does not change it back
    enabled boolean not null default true,              -- false: declared by code, removed by an operator
    changed_at timestamptz not null default '-infinity', -- rate: since when it has this step
    forced text check (forced in ('closed', 'open')),   -- breaker: what an operator holds it in
    reset_at timestamptz not null default '-infinity',  -- breaker: an operator closed it; then it judges anew
    created_at timestamptz not null default now(),
    check ((queue is null) <> (tasks is null)),
    check (kind <> 'rate' or bound >= 1)
);

-- Queues whose jobs are claimed by claim_limited_jobs, since limits apply to some of them.
create table headrace.flow_queue (
    queue text primary key,
    turn double precision not null default 0            -- fair share: the virtual time of the start that was served last
) with (fillfactor = 20);

-- One for each limit and key that has started a job. Changed only by who holds the lock of the limited claim.
create table headrace.flow_gate (
    limit_id bigint not null,
    key text collate "C" not null,                      -- '' where the limit has no key, and for jobs that have none
    held integer not null default 0,                    -- jobs that run, less the releases that are not folded in yet
    tat_us bigint not null default 0,                   -- rate (GCRA): the theoretical arrival time, in µs since 1970
    step_us bigint not null default 1,                  -- rate: µs for each start, when that was last computed
    turn double precision not null default 0,           -- fair share: the virtual time at which its next job is due
    holder uuid,                                        -- order: the job that was started last
    state text not null default 'closed' check (state in ('closed', 'open', 'half_open')), -- breaker
    since timestamptz not null default '-infinity',     -- breaker: in this state
    window_at timestamptz not null default '-infinity', -- breaker: since when outcomes are counted
    succeeded integer not null default 0,
    failed integer not null default 0,
    probes integer not null default 0,                  -- half open: probes that were let through and not given back
    primary key (limit_id, key)
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

-- What a settle, rescue or hand-back gives back: only inserted, so that they wait for nobody. The claim folds them into the gates.
create table headrace.flow_release (
    id bigint generated always as identity primary key,
    queues text[] not null,                             -- whose workers are told
    lanes text[] not null,                              -- of each job that has ended
    outcomes text[] not null,
    claimed_ats timestamptz[] not null
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000,
        autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 10000);

-- The line of a limited job: its task, and each limit with its key, as JSON. Jobs of one lane are stopped by the same gates, so
-- that in a lane nobody waits for somebody whom a limit stops alone. Null: not limited, or not put in its lane yet.
alter table headrace.job add column lane text collate "C";

-- What waits in a lane is not in the way of others; running jobs stay in it until they are settled, as in job_claim.
drop index headrace.job_claim;
create index job_claim on headrace.job (queue, priority desc, position)
    where position is not null and suspicion = 0 and lane is null;
create index job_lane on headrace.job (queue, lane, (-priority::integer), position)
    where position is not null and suspicion = 0 and lane is not null;
