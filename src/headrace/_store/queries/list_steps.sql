-- The steps of a job, in the order of its handler; a sleep whose end has come is done.
select s.ordinal, s.kind, s.name, s.run,
       case when s.kind = 'sleep' and s.wakes_at <= now() then 'done' else s.outcome end as outcome,
       s.recorded_at, case when s.kind = 'sleep' then case when s.wakes_at <= now() then s.wakes_at end else s.finished_at end
           as finished_at,
       s.wakes_at, s.took_s, s.result
from headrace.step s
where s.job_id = %(id)s::uuid and s.recorded_at >= headrace.uuid7_floor(%(id)s::uuid)
order by s.ordinal
