-- Most jobs are due when they are created: their history does not say the same time twice (8 bytes a job, of the row and of the log).
alter table headrace.job_history alter column run_at drop not null; -- null: created_at

create or replace view headrace.jobs as
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
           h.created_at, coalesce(h.run_at, h.created_at), h.expires_at, nullif(h.claimed_at, '-infinity'),
           h.finished_at, nullif(h.worker_id, 0),
           h.unique_key, null, null, h.tenant, h.correlation_id, h.tags, h.metadata,
           h.progress
    from headrace.job_history h;
