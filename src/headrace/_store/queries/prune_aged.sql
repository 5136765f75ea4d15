-- Finished jobs older than their own task's retention, where that is tighter than their partition's. A chunk at a time, by
-- their ids and between their days: a join would read the whole history.
-- What the history's counting (roll_up) has not seen yet stays, unless nobody has counted for 10 minutes.
with looked as materialized (
    select case when l.looked_ats[1] is null then 'infinity'
                else greatest(l.looked_ats[1] - interval '20 seconds', now() - interval '10 minutes') end as at
    from headrace.rollup_look l
), old as materialized (
    select o.id, o.finished_at
    from headrace.task t
    cross join lateral (values ('succeeded', t.succeeded_age), ('failed', t.failed_age), ('cancelled', t.cancelled_age))
        as r(state, age)
    cross join lateral (
        select b.id, b.finished_at from headrace.job_history b
        where b.bounded and b.task = t.name and b.state = r.state::headrace.job_state
          and b.finished_at < least(coalesce(%(now)s::timestamptz, now()) - r.age, (select looked.at from looked))
        order by b.finished_at
        limit %(chunk)s
        for update skip locked) o
    limit %(chunk)s)
delete from headrace.job_history h
where h.id = any(array(select old.id from old))
  and h.finished_at between (select min(old.finished_at) from old) and (select max(old.finished_at) from old)
