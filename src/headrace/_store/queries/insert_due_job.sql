-- One due job of which nothing is said but what to run: it is queued, by the column's default. Most are like this; half as many
-- parameters as insert_job has, and less to work out, save a tenth of an enqueue.
insert into headrace.job (id, task, queue, args, priority, max_attempts, wake)
values (%(id)s, %(task)s, %(queue)s, %(args)s::jsonb, %(priority)s::smallint, %(max_attempts)s::smallint, true)
