-- Jobs to enqueue, from a JSON array of objects: "task" is needed, "id", "queue", "args", "priority", "max_attempts",
-- "delay_s" or "run_at", "expires_s" or "expires_at", "unique_key", "unique_scope", "unique_for_s", "on_conflict",
-- "tenant", "correlation_id", "tags" and "metadata" may be given. What a registered task says is the default.
create or replace function headrace.read_requests(jobs jsonb) returns setof headrace.request
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    wrong text;
begin
    if jsonb_typeof(jobs) is distinct from 'array' then
        raise exception using errcode = 'HR003', message = 'jobs to enqueue must be a JSON array of objects';
    end if;
    select w.wrong into wrong
    from jsonb_array_elements(jobs)
    cross join lateral (select case
        when coalesce(value ->> 'task', '') = '' then 'a job needs a task: ' || left(value::text, 200)
        when octet_length(value ->> 'task') > 300 or octet_length(value ->> 'queue') > 200
             or octet_length(value ->> 'tenant') > 200 or octet_length(value ->> 'unique_key') > 1000
            then 'a name is too long: a task may have 300 bytes, a queue and a tenant 200, a unique key 1000: ' || left(value::text, 200)
        when not isfinite((value ->> 'run_at')::timestamptz) or not isfinite((value ->> 'expires_at')::timestamptz)
            then format('run_at and expires_at of task "%s" must be finite', value ->> 'task')
        when jsonb_typeof(value -> 'args') <> 'object'
            then format('args of task "%s" must be a JSON object of its parameters', value ->> 'task')
        -- JSONB's text has spaces that a client's has not: twice the 1 MiB that clients hold to.
        when octet_length((value -> 'args')::text) > 2097152
            then format('args of task "%s" are %s bytes long, at most 2097152 are allowed', value ->> 'task',
                        octet_length((value -> 'args')::text))
        when substr((value ->> 'id')::uuid::text, 15, 1) <> '7'
            then format('the id of a job must be a UUID of version 7, which tells its time; %s is none', value ->> 'id')
        when value ->> 'unique_scope' <> all('{queued,unfinished,period}')
            then format('unique_scope must be queued, unfinished or period, not "%s"', value ->> 'unique_scope')
        when value ->> 'unique_scope' = 'period' and value ->> 'unique_for_s' is null
            then 'a job that is unique for a period needs unique_for'
        when value ->> 'on_conflict' <> all('{keep,replace,reschedule,reject}')
            then format('on_conflict must be keep, replace, reschedule or reject, not "%s"', value ->> 'on_conflict')
        end as wrong) w
    where w.wrong is not null
    limit 1;
    if wrong is not null then
        raise exception using errcode = 'HR003', message = wrong;
    end if;
    return query
    select r.ordinal, coalesce(r.id, headrace.uuid7()), r.task, coalesce(r.queue, t.queue, 'default'),
           coalesce(r.args, '{}'), coalesce(r.priority, t.priority, 0::smallint),
           coalesce(r.max_attempts, t.max_attempts, 5::smallint),
           w.run_at, w.run_at <= now(),
           coalesce(r.expires_at, now() + make_interval(secs => r.expires_s)),
           r.unique_key, coalesce(r.unique_scope, 'unfinished'), make_interval(secs => r.unique_for_s),
           coalesce(r.on_conflict, 'keep'), r.tenant, r.correlation_id, r.tags, r.metadata
    from rows from (jsonb_to_recordset(jobs) as (
        id uuid, task text, queue text, args jsonb, priority smallint, max_attempts smallint,
        delay_s double precision, run_at timestamptz, expires_s double precision, expires_at timestamptz,
        unique_key text, unique_scope text, unique_for_s double precision, on_conflict text,
        tenant text, correlation_id text, tags text[], metadata jsonb)) with ordinality
        as r(id, task, queue, args, priority, max_attempts, delay_s, run_at, expires_s, expires_at, unique_key,
             unique_scope, unique_for_s, on_conflict, tenant, correlation_id, tags, metadata, ordinal)
    left join headrace.task t on t.name = r.task
    cross join lateral (select coalesce(r.run_at, now() + make_interval(secs => coalesce(r.delay_s, 0))) as run_at) w;
end
$$;
