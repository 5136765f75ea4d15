-- A made-up past of two days for the charts of a shop that is a minute old. Not what any worker counted.
delete from headrace.rollup;
delete from headrace.queue_sample;

insert into headrace.rollup (step, scope, start_at, queue, task, started, succeeded, failed, cancelled, retried, rescued, waits, runs)
select 'minute', 2, t.at, '', '', n.jobs + n.failed, n.jobs, n.failed, 0, n.failed, 0,
       headrace.tally(array[6, 8, 10, 12 + n.more, 14 + n.more, 17 + n.more, 19 + n.late + n.more], array[jobs / 6, jobs / 3, jobs / 5, jobs / 8, jobs / 12, jobs / 20, jobs / 50]::bigint[]),
       headrace.tally(array[9, 10, 11, 12 + n.more, 14 + n.more, 16 + n.more, 18 + n.more], array[jobs / 8, jobs / 3, jobs / 4, jobs / 6, jobs / 12, jobs / 25, jobs / 60]::bigint[])
from generate_series(date_trunc('minute', now()) - interval '2 days', date_trunc('minute', now()) + interval '3 minutes', interval '1 minute') as t(at)
cross join lateral (
    select (420 + 210 * sin((extract(epoch from t.at) / 86400 - 0.3) * 2 * pi()) + 70 * sin(extract(epoch from t.at) / 1500)
            + 60 * random())::int as jobs,
           (3 + 4 * random() + case when t.at between now() - interval '26 minutes' and now() - interval '19 minutes' then 55 * random() else 0 end)::int as failed,
           case when t.at between now() - interval '26 minutes' and now() - interval '17 minutes' then 6 else 0 end as late,
           (1.6 * random())::int as more) n
on conflict do nothing;

insert into headrace.queue_sample (step, start_at, queue, samples, queued, running, scheduled, blocked, queued_max, running_max, scheduled_max,
                                   blocked_max, oldest_s_max)
select 'minute', t.at, '', 1, n.queued, n.running, 60, 3, n.queued, n.running, 60 + (20 * random())::int, 3, n.queued / 4.0
from generate_series(date_trunc('minute', now()) - interval '2 days', date_trunc('minute', now()) + interval '3 minutes', interval '1 minute') as t(at)
cross join lateral (
    select (18 + 14 * random() + case when t.at between now() - interval '26 minutes' and now() - interval '17 minutes'
                                      then 60 * (1 - abs(extract(epoch from now() - interval '21 minutes' - t.at)) / 330) else 0 end)::int as queued,
           (14 + 9 * random())::int as running) n
where n.queued > 0
on conflict do nothing;

insert into headrace.deploy (deployed_at, label, deployed_by) values (now() - interval '31 minutes', 'v2026.11.3', 'ci');
update headrace.rollup_look set began_at = now() - interval '2 days', sampled_at = now() + interval '5 minutes';
