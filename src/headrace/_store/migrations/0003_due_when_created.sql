-- Most jobs are due when they are created: their history does not say the same time twice (8 bytes a job, of the row and of the log).
alter table headrace.job_history alter column run_at drop not null; -- null: created_at; the view says so from 0005 on
