-- Finished jobs beyond the count that their task keeps of their state, oldest first. A chunk at a time; see prune_aged.
-- What the history's counting (roll_up) has not seen yet stays, unless nobody has counted for 10 minutes.
with looked as materialized (
    select case when l.looked_ats[1] is null then 'infinity'
                else greatest(l.looked_ats[1] - interval '20 seconds', now() - interval '10 minutes') end as at
    from headrace.rollup_look l
), surplus as materialized (
    select o.id, o.finished_at
    from headrace.task t
    cross join lateral (values ('succeeded', t.succeeded_count), ('failed', t.failed_count),
                               ('cancelled', t.cancelled_count)) as r(state, count)
    cross join lateral (
        select b.finished_at from headrace.job_history b
        where b.bounded and b.task = t.name and b.state = r.state::headrace.job_state
        order by b.finished_at desc
        offset greatest(r.count - 1, 0) limit 1) last_kept
    cross join lateral (
        select b.id, b.finished_at from headrace.job_history b
        where b.bounded and b.task = t.name and b.state = r.state::headrace.job_state
          and (b.finished_at < last_kept.finished_at or r.count = 0)
          and b.finished_at < (select looked.at from looked)
        order by b.finished_at
        limit %(chunk)s
        for update skip locked) o
    where r.count is not null
    limit %(chunk)s)
delete from headrace.job_history h
where h.id = any(array(select surplus.id from surplus))
  and h.finished_at between (select min(surplus.finished_at) from surplus) and (select max(surplus.finished_at) from surplus)
