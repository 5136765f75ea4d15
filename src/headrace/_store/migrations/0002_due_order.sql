-- The promoter's scans start behind what it promoted (see promote_jobs.sql). Thousands of jobs may be due at one instant: the id
-- tells them apart.
drop index headrace.job_due;
create index job_due on headrace.job (run_at, id)
    where position is null and blocked_by is null;

-- Was for the settle's plan.
drop type headrace.held;
