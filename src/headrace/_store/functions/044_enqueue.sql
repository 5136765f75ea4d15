-- For SQL: select headrace.enqueue('send_welcome', '{"user_id": 42}', delay => '1 hour'). Works in triggers and pg_cron.
create or replace function headrace.enqueue(
    task text,
    args jsonb default '{}',
    queue text default null,
    priority smallint default null,
    delay interval default null,
    run_at timestamptz default null,
    expires_at timestamptz default null,
    max_attempts smallint default null,
    unique_key text default null,
    unique_scope text default null,
    unique_for interval default null,
    on_conflict text default null,
    tenant text default null,
    correlation_id text default null,
    tags text[] default null,
    metadata jsonb default null
) returns uuid
language sql security definer
set search_path = pg_catalog, pg_temp
as $$
    select e.job_id from headrace.enqueue_jobs(jsonb_build_array(jsonb_strip_nulls(jsonb_build_object(
        'task', task, 'queue', queue, 'priority', priority,
        'delay_s', extract(epoch from delay), 'run_at', run_at, 'expires_at', expires_at,
        'max_attempts', max_attempts, 'unique_key', unique_key, 'unique_scope', unique_scope,
        'unique_for_s', extract(epoch from unique_for), 'on_conflict', on_conflict,
        'tenant', tenant, 'correlation_id', correlation_id, 'tags', to_jsonb(tags)))
        || jsonb_build_object('args', args, 'metadata', metadata))) e
$$;
