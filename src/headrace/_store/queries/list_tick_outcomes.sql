-- The last moments of each schedule, and what became of their jobs.
select s.name as schedule, t.due_at, t.outcome, t.job_id,
       coalesce(
           (select j.state from headrace.job j where j.id = t.job_id),
           (select h.state from headrace.job_history h
            where h.id = t.job_id and h.finished_at >= headrace.uuid7_floor(t.job_id) limit 1))::text as state
from headrace.schedule s
cross join lateral (
    select k.due_at, k.outcome, k.job_id from headrace.tick k where k.schedule = s.name order by k.due_at desc limit %(limit)s::integer) t
where %(name)s::text is null or s.name = %(name)s::text
order by s.name, t.due_at
