-- A store in which every sequential scan shows: 200,000 unfinished jobs, 200,000 finished ones over 13 days.
create function pg_temp.id_at(at timestamptz, n integer) returns uuid language sql as $$
    select (lpad(to_hex((extract(epoch from at) * 1000)::bigint), 12, '0') || '7' || substr(md5(n::text), 1, 3)
            || '8' || substr(md5(n::text), 4, 15))::uuid
$$;

select headrace.create_partitions(current_date - 14, current_date);

insert into headrace.worker (host, pid, version, queues) select 'host', i, '0', '{}' from generate_series(1, 5) i;

insert into headrace.task (name, queue, priority, max_attempts, succeeded_age, succeeded_count, failed_age, failed_count,
                           cancelled_age, cancelled_count)
select 'task' || i, 'q' || i % 4, 0, 5, interval '5 days', case when i < 2 then 1000 end, interval '90 days', null,
       interval '7 days', 10
from generate_series(0, 9) i;

-- 1,000 running, 50,000 queued, 129,000 scheduled, 20,000 parked; of the running and queued ones a few are suspects.
insert into headrace.job (id, state, position, run_at, queue, task, priority, args, run, worker_id, claimed_at, suspicion,
                          blocked_by, unique_key)
select pg_temp.id_at(now() - interval '1 hour' + make_interval(secs => i / 100.0), i), k.state::headrace.job_state,
       case when k.state in ('queued', 'running') then nextval('headrace.job_position') end,
       now() + case when k.state = 'scheduled' then make_interval(secs => i - 52000) else interval '0' end,
       'q' || i % 4, 'task' || i % 10, (i % 3)::smallint, jsonb_build_object('n', i), (k.state = 'running')::integer,
       case when k.state = 'running' then 1 + i % 5 else 0 end,
       case when k.state = 'running' then now() else '-infinity' end,
       (i % 500 = 1 and k.state in ('queued', 'running'))::integer,
       case when k.state = 'blocked' then 'task' end, case when i % 20 = 0 then 'key' || i end
from generate_series(1, 200000) i
cross join lateral (select case when i <= 1000 then 'running' when i <= 51000 then 'queued' when i <= 180000 then 'scheduled'
                                else 'blocked' end as state) k;

insert into headrace.job_history (id, state, retention, bounded, finished_at, claimed_at, created_at, run_at, worker_id, run,
                                  priority, attempts, max_attempts, queue, task, args, result)
select pg_temp.id_at(w.at, 200000 + i), k.state::headrace.job_state,
       (array['short', 'normal', 'long'])[1 + i % 3]::headrace.retention, i % 4 = 0, w.at + interval '1 second', w.at, w.at,
       w.at, 1, 1, 0, 1, 5, 'q' || i % 4, 'task' || i % 10, case when i % 10 > 0 then '{}'::jsonb end, '1'
from generate_series(1, 200000) i
cross join lateral (select now() - i % 13 * interval '1 day' - make_interval(secs => 300 + i / 5.0) as at) w
cross join lateral (select case when i % 500 = 0 then 'failed' when i % 500 = 1 then 'cancelled' else 'succeeded' end
                           as state) k;

insert into headrace.payload (job_id, created_at, args)
select h.id, h.created_at, '{}' from headrace.job_history h where h.args is null;
insert into headrace.attempt (job_id, run, outcome, worker_id, started_at, finished_at)
select h.id, 0, 'retried', 1, h.claimed_at, h.finished_at from headrace.job_history h where h.args is null;
insert into headrace.job_log (job_id, run, logged_at, level, message)
select h.id, 1, h.finished_at, 'info', 'line' from headrace.job_history h where h.args is null;
insert into headrace.job_progress (job_id, run, done) select j.id, 1, 1 from headrace.job j limit 5000;
insert into headrace.enqueue_key (task, key, job_id, expires_at)
select 'task1', 'key' || i, gen_random_uuid(), now() + make_interval(secs => i - 100) from generate_series(1, 50000) i;

-- Of the parked ones 10,000 wait for 9,900 events, most of them just looked at; 30,000 more events nobody waits for.
insert into headrace.event (name, payload, expires_at, delivered)
select 'event' || i, '{}', now() + make_interval(secs => i - 200), i not between 800 and 1000 from generate_series(1, 40000) i;
with waiting as (
    select j.id, row_number() over (order by j.id) as n from headrace.job j where j.state = 'blocked' limit 10000)
update headrace.job j
set blocked_by = 'event:event' || case when w.n <= 100 then 900 else w.n + 100000 end,
    look_at = now() + make_interval(secs => w.n - 50), run_at = now() + make_interval(secs => w.n - 50)
from waiting w where w.id = j.id;
insert into headrace.step (job_id, ordinal, run, kind, name, outcome, recorded_at, finished_at, result)
select h.id, 1 + i, 1, 'call', 'charge', 'done', h.finished_at, h.finished_at, '1'
from headrace.job_history h cross join generate_series(0, 1) i where h.args is null;
insert into headrace.step (job_id, ordinal, run, kind, name, outcome, recorded_at, finished_at, result)
select j.id, 1, 1, 'call', 'charge', 'done', now(), now(), '1' from headrace.job j where j.state = 'running';
