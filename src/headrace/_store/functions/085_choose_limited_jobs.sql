-- Which queued jobs of these lanes may start now, in order, at most `places`: such that no limit would be exceeded. Changes
-- nothing, but locks them, and those that it looked at besides; jobs that somebody else holds are passed over. A job is left out
-- if it is beyond the free slots of any of its gates, counted in the order of the line; a slot that a job would have had, but for
-- another gate, stays free until the next call. Also answers the lane of each, which of the lanes do not fit the limits of today,
-- when (µs since 1970) a gate opens by itself that is closed now, and the virtual time of the last of the jobs.
create or replace function headrace.choose_limited_jobs(
    queue text, places integer, lanes text[], ranks integer[], suspects uuid[], moment timestamptz,
    out chosen uuid[], out chosen_lanes text[], out stale text[], out opens_us bigint, out turn double precision
)
language plpgsql
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_nestloop = off
set enable_mergejoin = off
set jit = off
as $$
#variable_conflict use_column
declare
    now_us constant bigint := floor(extract(epoch from moment) * 1000000);
    ageing_s double precision;
    line_turn double precision;
begin
    select extract(epoch from m.span) into ageing_s
    from headrace.flow_limit m where m.kind = 'ageing' and m.enabled and m.queue = choose_limited_jobs.queue limit 1;
    select f.turn into line_turn from headrace.flow_queue f where f.queue = choose_limited_jobs.queue;
    with visited as materialized (
        select v.lane, v.rank from unnest(lanes, ranks) as v(lane, rank)
    ), lane as materialized (
        select d.lane, d.lane::jsonb as parts from (select distinct v.lane from visited v) d
    ), task as materialized (
        select t.name, array(
                   select m.id from headrace.flow_limit m
                   where m.enabled and m.kind <> 'ageing'
                     and (m.queue = choose_limited_jobs.queue or t.name = any(m.tasks))) as limits
        from (select distinct l.parts ->> 0 as name from lane l) t
    ), pair as materialized (
        select l.lane, (p.pair ->> 0)::bigint as limit_id, p.pair ->> 1 as key
        from lane l cross join lateral jsonb_array_elements(l.parts - 0) as p(pair)
    ), gate as materialized (
        select d.limit_id, d.key, s.free, m.kind = 'order' as ordered, case when s.free = 0 then s.opens_us end as opens_us,
               case when m.kind = 'order' and m.settings ->> 'on_failure' = 'hold' then (
                   select w.id from headrace.job w where w.id = g.holder) end as holder,
               case when m.kind = 'fair' then greatest(coalesce(g.turn, 0), line_turn) end as turn,
               case when m.kind = 'fair' then coalesce((m.settings #>> array['weights', d.key])::float8, 1) end as weight
        from (select distinct p.limit_id, p.key from pair p) d
        join headrace.flow_limit m on m.id = d.limit_id
        left join lateral (
            select f.held, f.tat_us, f.step_us, f.turn, f.holder, f.state, f.since, f.probes
            from headrace.flow_gate f where f.limit_id = d.limit_id and f.key = d.key limit 1) g on true
        cross join lateral (
            select n.step_us, case when m.kind = 'rate' then headrace.rate_ahead(
                       coalesce(g.tat_us, 0), coalesce(g.step_us, n.step_us), n.step_us,
                       floor(extract(epoch from m.changed_at) * 1000000)::bigint, now_us) end as ahead_us
            from (select case when m.kind = 'rate'
                              then ceil(extract(epoch from m.span) * 1000000 / m.bound)::bigint end as step_us) n) r
        cross join lateral (
            select case m.kind
                       when 'concurrency' then greatest(0, m.bound - coalesce(g.held, 0))
                       when 'order' then greatest(0, 1 - coalesce(g.held, 0))
                       when 'rate' then greatest(0, (m.burst * r.step_us - r.ahead_us) / r.step_us)
                       when 'breaker' then case
                           when coalesce(m.forced, g.state, 'closed') = 'open' then 0
                           when m.forced is null and g.state = 'half_open' then greatest(0, m.bound - g.probes)
                           else 1000000 end
                       else 1000000 end::integer as free,
                   case when m.kind = 'rate' then now_us + r.ahead_us - (m.burst - 1) * r.step_us
                        when m.kind = 'breaker' and m.forced is null and g.state = 'open'
                        then (extract(epoch from g.since) * 1000000)::bigint
                             + ((m.settings ->> 'cool_down_s')::float8 * 1000000)::bigint end as opens_us) s
    ), state as materialized (
        select l.lane, coalesce(min(g.free), 1000000) as free, max(g.turn) as turn, max(g.weight) as weight,
               max(p.limit_id) filter (where g.turn is not null) as fair_id, max(p.key) filter (where g.turn is not null) as fair_key,
               coalesce(bool_or(g.ordered), false) as ordered, min(g.holder::text)::uuid as holder,
               min(g.holder::text) is distinct from max(g.holder::text) as torn,
               count(p.limit_id) = min(cardinality(t.limits)) and bool_and(p.limit_id is null or p.limit_id = any(t.limits)) as fits
        from lane l
        join task t on t.name = l.parts ->> 0
        left join pair p on p.lane = l.lane
        left join gate g on g.limit_id = p.limit_id and g.key = p.key
        group by l.lane
    ), bound as materialized (
        select ceil(places / greatest(1, count(*))::float8)::integer as share
        from visited v join state s on s.lane = v.lane where s.fits and s.free > 0
    ), candidate as materialized (
        select c.id, s.lane, v.rank, c.position, c.run_at, s.turn, s.weight, s.fair_id, s.fair_key
        from visited v
        join state s on s.lane = v.lane
        cross join lateral (
            select j.id, j.position, j.run_at from headrace.job j
            where j.queue = choose_limited_jobs.queue and j.lane = v.lane and (-j.priority::integer) = v.rank
              and j.position is not null and j.suspicion = 0 and j.lane is not null and j.state = 'queued'
            order by j.position
            limit least(s.free, places, (select b.share from bound b))
            for no key update skip locked) c
        where s.fits and s.free > 0 and s.holder is null and suspects is null
          -- Where order counts, nobody passes by a job that somebody holds.
          and not (s.ordered and exists (
              select from headrace.job e
              where e.queue = choose_limited_jobs.queue and e.lane = v.lane and (-e.priority::integer) = v.rank
                and e.position is not null and e.suspicion = 0 and e.lane is not null and e.state = 'queued'
                and e.position < c.position))
        union all
        select c.id, s.lane, c.rank, c.position, c.run_at, s.turn, s.weight, s.fair_id, s.fair_key
        from state s
        cross join lateral (
            select j.id, -j.priority::integer as rank, j.position, j.run_at from headrace.job j
            where j.id = s.holder and j.queue = choose_limited_jobs.queue and j.lane = s.lane
              and j.position is not null and j.suspicion = 0 and j.state = 'queued'
            for no key update skip locked) c
        where s.fits and s.free > 0 and not s.torn and suspects is null
        union all
        select c.id, s.lane, c.rank, c.position, c.run_at, s.turn, s.weight, s.fair_id, s.fair_key
        from state s
        cross join lateral (
            select j.id, -j.priority::integer as rank, j.position, j.run_at from headrace.job j
            where j.id = any(suspects) and j.lane = s.lane and j.position is not null and j.suspicion > 0
              and j.state = 'queued'
            for no key update skip locked) c
        where s.fits and s.free > 0 and not s.torn and coalesce(s.holder = c.id, true)
    ), aged as materialized (
        select c.id, c.lane, c.position, c.fair_id, c.fair_key, c.turn, c.weight,
               case when ageing_s is null then c.rank
                    else c.rank - floor(extract(epoch from moment - c.run_at) / ageing_s) end as rank
        from candidate c
    ), fair as materialized (
        select a.id, a.lane, a.rank, a.position,
               coalesce(a.turn + (row_number() over (partition by a.fair_id, a.fair_key order by a.rank, a.position) - 1)
                        / a.weight, 0) as turn
        from aged a
    ), line as materialized (
        select f.id, f.lane, f.turn, row_number() over (order by f.turn, f.rank, f.position) as place from fair f
    ), crowded as materialized (
        -- The gates that these jobs could overfill; the others refuse nobody. A gate that one lane alone has is not among them: no
        -- more jobs were taken from its lane than it has slots.
        select g.limit_id, g.key, g.free
        from (select c.lane, count(*) as jobs from candidate c group by c.lane) n
        join pair p on p.lane = n.lane
        join gate g on g.limit_id = p.limit_id and g.key = p.key
        group by g.limit_id, g.key, g.free
        having sum(n.jobs) > g.free
    ), refused as materialized (
        select n.id
        from (select l.id, r.free, row_number() over (partition by r.limit_id, r.key order by l.place) as number
              from crowded r
              join pair p on p.limit_id = r.limit_id and p.key = r.key
              join line l on l.lane = p.lane) n
        where n.number > n.free
    ), allowed as materialized (
        select l.id, l.lane, l.turn from line l
        where not exists (select from refused r where r.id = l.id)
        order by l.place
        limit places
    )
    select coalesce((select array_agg(a.id) from allowed a), '{}'),
           coalesce((select array_agg(a.lane) from allowed a), '{}'),
           coalesce((select array_agg(s.lane) from state s where not s.fits), '{}'),
           (select min(g.opens_us) from gate g),
           (select max(a.turn) from allowed a)
    into chosen, chosen_lanes, stale, opens_us, turn;
end
$$;
