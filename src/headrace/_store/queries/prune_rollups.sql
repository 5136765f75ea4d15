-- Counts and samples that are out of their step's retention: minutes for 2 days, hours for 14, days for 400.
with age (step, keep) as (values ('minute', interval '2 days'), ('hour', interval '14 days'), ('day', interval '400 days')), samples as (
    delete from headrace.queue_sample q using age a
    where q.step = a.step and q.start_at <= coalesce(%(now)s::timestamptz, now()) - a.keep
)
delete from headrace.rollup r
using age a cross join (values (0::smallint), (1::smallint), (2::smallint)) as s(scope)
where r.step = a.step and r.scope = s.scope and r.start_at <= coalesce(%(now)s::timestamptz, now()) - a.keep
