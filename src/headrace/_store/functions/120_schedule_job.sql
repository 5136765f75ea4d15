-- The job of one tick, as enqueue_jobs takes it. A handler finds its moment in the metadata: a job that runs late, or in a
-- backfill, must know what it is for.
create or replace function headrace.schedule_job(
    s headrace.schedule, d headrace.schedule_due, id uuid, nominal timestamp, fold smallint, due_at timestamptz
) returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
set timezone = 'UTC'
as $$
    select jsonb_strip_nulls(jsonb_build_object(
               'id', id, 'task', s.task, 'queue', s.queue, 'priority', s.priority,
               'tenant', coalesce(nullif(d.tenant, ''), s.tenant), 'tags', to_jsonb(s.tags)))
        || jsonb_build_object(
               'args', s.args || coalesce(d.args, '{}'),
               'metadata', jsonb_build_object('schedule', jsonb_build_object(
                   'name', s.name, 'nominal', nominal, 'fold', fold, 'due_at', due_at,
                   'timezone', case when s.cron is null then 'UTC' else coalesce(d.timezone, s.timezone) end)))
$$;
