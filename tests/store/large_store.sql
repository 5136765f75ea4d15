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

-- A schedule of 20,000 tenants, of whom 1,000 are due and 500 have ticks that wait; and 100,000 ticks.
insert into headrace.schedule (name, task, cron, overlap, per_tenant) values ('many', 'task1', '* * * * *', 'queue', true);
insert into headrace.schedule_due (schedule, tenant, next_due, next_at, next_nominal, next_fold, has_waiting, open_jobs)
select 'many', 't' || i, now() + make_interval(secs => i - 1000), now(), now() at time zone 'utc', 0, i % 40 = 0,
       case when i % 80 > 0 then array[pg_temp.id_at(now() - interval '1 hour' + make_interval(secs => i / 100.0), i)] else '{}' end
from generate_series(1, 20000) i;
insert into headrace.tick (schedule, tenant, nominal, fold, due_at, fired_at, outcome)
select 'many', 't' || 1 + i % 20000, w.at at time zone 'utc', 0, w.at, w.at, case when i % 20000 + 1 = any('{40,80,120}') then 'waiting' else 'missed' end
from generate_series(1, 100000) i
cross join lateral (select now() - make_interval(days => i / 2500, secs => i) as at) w;
-- 2,000 workflows of 21 nodes, 20 of which wait for the first; every fourth has finished; some have changes, moves, or nothing left.
insert into headrace.workflow (id, name, policy, state, created_at, finished_at, finishing)
select pg_temp.id_at(now() - make_interval(hours => w), 500000 + w), 'w' || w, 'stop', k.state::headrace.job_state,
       now() - make_interval(hours => w), case when k.state <> 'running' then now() - make_interval(hours => w) end, w % 100 = 1
from generate_series(1, 2000) w
cross join lateral (select case when w % 4 = 0 then 'succeeded' else 'running' end as state) k;

insert into headrace.workflow_node (job_id, workflow_id, state, name, parents, pending, move)
select pg_temp.id_at(now() - make_interval(hours => w), 600000 + w * 21 + n),
       pg_temp.id_at(now() - make_interval(hours => w), 500000 + w),
       (case when w % 4 = 0 then 'succeeded' when n = 0 then 'queued' else 'blocked' end)::headrace.job_state, 'n' || n,
       case when n > 0 then array[pg_temp.id_at(now() - make_interval(hours => w), 600000 + w * 21)] end, (n > 0)::integer,
       case when w % 100 = 2 and n = 1 then 'cancel' end
from generate_series(1, 2000) w, generate_series(0, 20) n;

insert into headrace.dependency (parent, child)
select p, n.job_id from headrace.workflow_node n cross join lateral unnest(n.parents) p;

insert into headrace.workflow_change (workflow_id, job_id, state, at)
select n.workflow_id, n.job_id, 'succeeded', now() - make_interval(secs => 2 * (row_number() over ())::integer)
from headrace.workflow_node n where n.state = 'queued';
-- A limited queue: 15,000 jobs of a key whose slot is taken, and 5,000 of 1,000 others.
insert into headrace.flow_limit (name, kind, queue, key) values ('busy', 'concurrency', 'limited', 'key');
insert into headrace.flow_queue (queue) values ('limited');
insert into headrace.flow_gate (limit_id, key, held) select m.id, 'busy', 1 from headrace.flow_limit m;
insert into headrace.job (id, queue, task, lane)
select pg_temp.id_at(now() - interval '1 hour' + make_interval(secs => i / 100.0), 500000 + i), 'limited', 'task1',
       format('["task1", [%s, "%s"]]', m.id, case when i <= 15000 then 'busy' else (i % 1000)::text end)
from generate_series(1, 20000) i, headrace.flow_limit m;
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
insert into headrace.operation (action, state, filter, started_by, starts_at) values ('delete', 'running', 'age>0s', 'somebody', now());
-- Counts of two days for 20 tasks, samples of ten queues, and deploys.
insert into headrace.rollup (step, scope, start_at, queue, task, started, succeeded, failed, cancelled, retried, rescued, waits, runs)
select 'minute', 0, date_trunc('minute', now(), 'UTC') - make_interval(mins => m), 'q' || t % 4, 'task' || t, 1, 1, 0, 0, 0, 0, '{}', '{}'
from generate_series(0, 2879) m, generate_series(1, 20) t;
insert into headrace.queue_sample
select 'minute', date_trunc('minute', now(), 'UTC') - make_interval(mins => m), case when q > 0 then 'q' || q else '' end, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0
from generate_series(0, 2879) m, generate_series(0, 9) q;
insert into headrace.deploy (deployed_at, label) select now() - make_interval(hours => h), 'v' || h from generate_series(0, 2000) h;
