-- What stops a job that is queued, one row for each: pauses, and limits whose gate is shut for the job's key.
with job as (
    select j.id, j.queue, coalesce(j.lane, (
               select n.lane from headrace.lane_of(j.queue, j.task, j.tenant, j.args, j.id, j.created_at) n)) as lane
    from headrace.job j where j.id = %(id)s::uuid and j.state = 'queued'
)
select 'pause' as kind, nullif(p.queue, '') as name, null as key, null::integer as held, null::integer as bound,
       p.until as opens_at, p.reason as detail
from job j join headrace.pause p on p.queue in ('', j.queue) and (p.until is null or p.until > now())
union all
select m.kind, m.name, nullif(g.key, ''), g.held, m.bound, s.opens_at, s.detail
from job j
cross join lateral jsonb_array_elements(j.lane::jsonb - 0) as p(pair)
join headrace.flow_limit m on m.id = (p.pair ->> 0)::bigint and m.enabled
left join headrace.flow_gate g on g.limit_id = m.id and g.key = p.pair ->> 1
cross join lateral (
    select case when m.kind = 'rate' then ceil(extract(epoch from m.span) * 1000000 / m.bound)::bigint end as step_us) r
cross join lateral (
    select case m.kind
               when 'rate' then now() + interval '1 microsecond' * (
                   headrace.rate_ahead(g.tat_us, g.step_us, r.step_us, floor(extract(epoch from m.changed_at) * 1000000)::bigint,
                                       floor(extract(epoch from now()) * 1000000)::bigint) - (m.burst - 1) * r.step_us)
               when 'breaker' then case when m.forced is null and g.state = 'open'
                                        then g.since + make_interval(secs => (m.settings ->> 'cool_down_s')::float8) end
               end as opens_at,
           case m.kind
               when 'order' then (select w.id::text from headrace.job w where w.id = g.holder and w.id <> j.id)
               when 'breaker' then coalesce('forced ' || m.forced, g.state) end as detail) s
where case m.kind
          when 'concurrency' then coalesce(g.held, 0) >= m.bound
          when 'rate' then s.opens_at > now()
          when 'order' then g.held > 0 or (m.settings ->> 'on_failure' = 'hold' and s.detail is not null)
          when 'breaker' then coalesce(m.forced, g.state) = 'open' or (m.forced is null and g.state = 'half_open')
          else false end
order by 1, 2
