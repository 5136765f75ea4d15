-- Finished jobs beyond the count that their task keeps of their state, oldest first. A chunk at a time; see prune_aged.
with surplus as materialized (
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
        order by b.finished_at
        limit %(chunk)s
        for update skip locked) o
    where r.count is not null
    limit %(chunk)s)
delete from headrace.job_history h
where h.id = any(array(select surplus.id from surplus))
  and h.finished_at between (select min(surplus.finished_at) from surplus) and (select max(surplus.finished_at) from surplus)
