-- Searching finished jobs, and operations on many jobs.

-- Where in a day's history the jobs of a rare task, queue, tenant, request or workflow are: for each part of the table Bloom filters.
-- A settle writes nothing to them: a part is summarised after it is full. Two indexes, since looking at large filters takes its time.
-- See docs/decisions/016-search.md.
create index job_history_where on headrace.job_history
    using brin (task text_bloom_ops (n_distinct_per_range = 64), queue text_bloom_ops (n_distinct_per_range = 32),
                tenant text_bloom_ops (n_distinct_per_range = 300))
    with (pages_per_range = 64, autosummarize = on);
create index job_history_which on headrace.job_history
    using brin (correlation_id text_bloom_ops (n_distinct_per_range = 4000), workflow_id uuid_bloom_ops (n_distinct_per_range = 1000))
    with (pages_per_range = 128, autosummarize = on);
-- The first part of an empty table is summarised when an index is made, and every insert would then be logged twice; as in
-- create_partitions.
do $$
declare
    made regclass;
begin
    for made in
        select i.indexrelid from pg_index i
        join pg_class c on c.oid = i.indexrelid
        where c.relam = (select oid from pg_am where amname = 'brin') and c.relkind = 'i' and pg_relation_size(i.indrelid) = 0
          and i.indrelid in (select relid from pg_partition_tree('headrace.job_history'))
    loop
        perform brin_desummarize_range(made, 0);
    end loop;
end
$$;

-- What operators do with many jobs at once. A worker takes an operation for some seconds and does it chunk by chunk, each chunk in one
-- transaction with its count: see ../functions/155_run_chunk.sql.
create table headrace.operation (
    id bigint generated always as identity primary key,
    state text not null default 'waiting' check (state in ('waiting', 'running', 'finished', 'cancelled', 'failed')),
    action text not null check (action in ('retry', 'cancel', 'delete', 'run_now', 'set_priority', 'move')),
    settings jsonb not null default '{}',               -- priority, queue, reason, from_start: what the action needs
    filter text,                                        -- on all jobs that match this,
    ids uuid[],                                         -- or on these
    tenant text,                                        -- and on no jobs but this tenant's
    started_by text not null,
    created_at timestamptz not null default now(),      -- on no jobs that are younger; ages are counted back from here
    starts_at timestamptz not null,                     -- until then it can be undone
    taken_until timestamptz not null default '-infinity', -- a worker is at it
    chunks integer not null default 0,                  -- how many are done: the fence of the next
    place text,                                         -- where the next chunk begins
    estimate bigint,                                    -- how many jobs matched, about, when it was started
    done bigint not null default 0,
    skipped bigint not null default 0,                  -- were not there any more, ran, or had nothing to be done
    failed bigint not null default 0,
    finished_at timestamptz,
    cancelled_by text,
    problem text,                                       -- why it failed, or of one of its jobs that did
    check ((filter is null) <> (ids is null))
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);
create index operation_unfinished on headrace.operation (id) where state in ('waiting', 'running');
