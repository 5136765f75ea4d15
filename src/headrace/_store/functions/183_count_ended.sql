-- Adds up what ended from `low` to `high`, in all steps and scopes, and answers how many things that were and the snapshot that saw
-- them. Which rows: those that the snapshot of their part of rollup_seen did not see; or with `backwards` those that it did see.
--
-- One statement, so that what is counted and the snapshot that is kept are the same. A row's transaction is its xmin, as far away from
-- ours as age() says: nothing changes rows of job_history and attempt once they are there. `own` is our own transaction, from before
-- the first call of age(). Most rows that were counted before are passed over by one comparison of numbers.
--
-- What an operator retried by hand is not in the history any more; it is among the attempts. If it ended before `counted_until`, the
-- last look, it was counted when it was in the history.
create or replace function headrace.count_ended(
    low timestamptz, high timestamptz, backwards pg_snapshot, counted_until timestamptz, moment timestamptz, own bigint,
    out counted bigint, out taken pg_snapshot
)
language plpgsql
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_custom_plan
set jit = off
as $$
begin
    with part as materialized (
        select greatest(s.from_at, low) as from_at, least(s.to_at, high) as to_at, s.snapshot,
               pg_snapshot_xmin(s.snapshot)::text::bigint as oldest
        from (select r.from_at, coalesce(lead(r.from_at) over (order by r.from_at), 'infinity') as to_at, r.snapshot
              from headrace.rollup_seen r where backwards is null
              union all
              select '-infinity', 'infinity', backwards where backwards is not null) s
        where s.to_at > low and s.from_at < high
    ), finished as materialized (
        -- Counts, starts, waits and runs apart: together there would be nearly as many groups as rows.
        select case when grouping(f.started_at) = 0 then f.started_at else f.at end as at, f.queue, f.task,
               case 0 when grouping(f.what) then f.what::text when grouping(f.started_at) then 'started'
                      when grouping(f.wait) then 'wait' else 'run' end as what,
               coalesce(f.wait, f.run) as bucket, count(*) as n
        from (
            select date_bin('1 minute', h.finished_at, '2000-01-01 00:00:00+00') as at,
                   case when h.worker_id <> 0 then date_bin('1 minute', h.claimed_at, '2000-01-01 00:00:00+00') end as started_at,
                   h.queue, h.task, h.state as what,
                   case when h.worker_id <> 0 then headrace.bucket_of(
                       date_part('epoch', h.claimed_at - coalesce(h.run_at, h.created_at))) end as wait,
                   case when h.worker_id <> 0 and h.state <> 'cancelled' then headrace.bucket_of(
                       date_part('epoch', h.finished_at - h.claimed_at)) end as run
            from part p
            join headrace.job_history h on h.finished_at >= p.from_at and h.finished_at < p.to_at
            where h.finished_at >= low and h.finished_at < least(high, moment + interval '1 day')
              and case when backwards is null
                       then own - age(h.xmin) >= p.oldest
                            and not pg_visible_in_snapshot((own - age(h.xmin))::text::xid8, p.snapshot)
                       else own - age(h.xmin) < p.oldest
                            or pg_visible_in_snapshot((own - age(h.xmin))::text::xid8, p.snapshot) end) f
        group by grouping sets ((f.at, f.queue, f.task, f.what), (f.started_at, f.queue, f.task), (f.at, f.queue, f.task, f.wait),
                                (f.at, f.queue, f.task, f.run))
    ), tried as materialized (
        select a.job_id, a.finished_at, a.started_at, a.outcome
        from part p
        join headrace.attempt a on a.finished_at >= p.from_at and a.finished_at < p.to_at
        where a.finished_at >= low and a.finished_at < least(high, moment + interval '1 day')
          and case when backwards is null
                   then own - age(a.xmin) >= p.oldest
                        and not pg_visible_in_snapshot((own - age(a.xmin))::text::xid8, p.snapshot)
                   else own - age(a.xmin) < p.oldest
                        or pg_visible_in_snapshot((own - age(a.xmin))::text::xid8, p.snapshot) end
          and (a.outcome in ('retried', 'lost', 'snoozed', 'waiting')
               or (a.outcome in ('succeeded', 'failed', 'cancelled') and a.finished_at >= counted_until))
    ), ended as materialized (
        select date_bin('1 minute', t.finished_at, '2000-01-01 00:00:00+00') as at,
               case when t.started_at > '-infinity' then date_bin('1 minute', t.started_at, '2000-01-01 00:00:00+00') end as started_at,
               coalesce(j.queue, h.queue) as queue, coalesce(j.task, h.task) as task,
               case t.outcome when 'lost' then 'rescued' when 'snoozed' then null when 'waiting' then null else t.outcome end as what,
               case when t.outcome in ('retried', 'succeeded', 'failed') and t.started_at > '-infinity' then
                   headrace.bucket_of(date_part('epoch', t.finished_at - t.started_at)) end as run
        from tried t
        left join headrace.job j on j.id = t.job_id
        left join lateral (
            select d.queue, d.task from headrace.job_history d
            where j.id is null and d.id = t.job_id and d.finished_at >= t.finished_at
              and d.finished_at >= low and d.finished_at < moment + interval '1 day' limit 1) h on true
        where coalesce(j.queue, h.queue) is not null
    ), base as materialized (
        select f.at, f.queue, f.task, f.what, f.bucket, sum(f.n)::bigint as n
        from (select f.at, f.queue, f.task, f.what, f.bucket, f.n from finished f
              where f.at is not null and (f.what not in ('wait', 'run') or f.bucket is not null)
              union all
              select e.at, e.queue, e.task, e.what, null, 1 from ended e where e.what is not null
              union all
              select e.at, e.queue, e.task, 'run', e.run, 1 from ended e where e.run is not null
              union all
              select e.started_at, e.queue, e.task, 'started', null, 1 from ended e where e.started_at is not null) f
        group by f.at, f.queue, f.task, f.what, f.bucket
    ), added as (
        insert into headrace.rollup as r (step, scope, start_at, queue, task, started, succeeded, failed, cancelled, retried, rescued,
                                          waits, runs)
        select s.step, case grouping(b.queue, b.task) when 0 then 0 when 1 then 1 else 2 end, s.start_at,
               coalesce(b.queue, ''), coalesce(b.task, ''),
               coalesce(sum(b.n) filter (where b.what = 'started'), 0), coalesce(sum(b.n) filter (where b.what = 'succeeded'), 0),
               coalesce(sum(b.n) filter (where b.what = 'failed'), 0), coalesce(sum(b.n) filter (where b.what = 'cancelled'), 0),
               coalesce(sum(b.n) filter (where b.what = 'retried'), 0), coalesce(sum(b.n) filter (where b.what = 'rescued'), 0),
               headrace.tally(array_agg(b.bucket) filter (where b.what = 'wait'), array_agg(b.n) filter (where b.what = 'wait')),
               headrace.tally(array_agg(b.bucket) filter (where b.what = 'run'), array_agg(b.n) filter (where b.what = 'run'))
        from base b
        cross join lateral (values ('minute', b.at, interval '2 days'), ('hour', date_trunc('hour', b.at, 'UTC'), interval '14 days'),
                                   ('day', date_trunc('day', b.at, 'UTC'), interval '400 days')) as s(step, start_at, keep)
        where s.start_at > moment - s.keep
        group by grouping sets ((s.step, s.start_at, b.queue, b.task), (s.step, s.start_at, b.queue), (s.step, s.start_at))
        on conflict (step, scope, task, queue, start_at) do update
        set started = r.started + excluded.started, succeeded = r.succeeded + excluded.succeeded, failed = r.failed + excluded.failed,
            cancelled = r.cancelled + excluded.cancelled, retried = r.retried + excluded.retried,
            rescued = r.rescued + excluded.rescued, waits = headrace.add_counts(r.waits, excluded.waits),
            runs = headrace.add_counts(r.runs, excluded.runs)
    )
    select coalesce(sum(b.n) filter (where b.what not in ('started', 'wait', 'run')), 0), pg_current_snapshot() into counted, taken from base b;
end
$$;
