-- Gates whose count of running jobs is not what runs. A claim changes jobs and gates in one transaction, a settle ends jobs and says
-- so in one, and folding that in is one: so in one snapshot, as here, held is what runs and what is not folded in yet, and no lock is
-- needed to compare them.
with holder as (
    select j.lane from headrace.job j
    where j.position is not null and j.suspicion = 0 and j.lane is not null and j.state = 'running'
    union all
    select j.lane from headrace.job j
    where j.position is not null and j.suspicion > 0 and j.lane is not null and j.state = 'running'
    union all
    select e.lane from headrace.flow_release r cross join lateral unnest(r.lanes) as e(lane)
), actual as (
    select (p.pair ->> 0)::bigint as limit_id, p.pair ->> 1 as key, count(*)::integer as running
    from holder h cross join lateral jsonb_array_elements(h.lane::jsonb - 0) as p(pair)
    group by 1, 2
)
select m.name, nullif(coalesce(g.key, a.key), '') as key, coalesce(g.held, 0) as held, coalesce(a.running, 0) as running
from actual a
full join headrace.flow_gate g on g.limit_id = a.limit_id and g.key = a.key collate "C"
join headrace.flow_limit m on m.id = coalesce(g.limit_id, a.limit_id)
where coalesce(g.held, 0) <> coalesce(a.running, 0)
order by 1, 2
limit 20
