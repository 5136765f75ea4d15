-- Opens breakers behind which too many attempts have failed, lets probes through those that have cooled down, and closes those
-- whose probes have all succeeded. Outcomes are counted in windows, one after the other.
create or replace function headrace.turn_breakers(moment timestamptz) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    update headrace.flow_gate g
    set state = n.state, since = case when n.state = g.state then g.since else moment end,
        window_at = moment, succeeded = 0, failed = 0, probes = 0
    from headrace.flow_limit m
    cross join lateral (
        select (m.settings ->> 'ratio')::float8 as ratio, (m.settings ->> 'minimum')::integer as minimum,
               make_interval(secs => (m.settings ->> 'cool_down_s')::float8) as cool_down) b,
    lateral (
        select case when m.reset_at > g.since and g.state <> 'closed' then 'closed'
                    when g.state = 'closed' and g.succeeded + g.failed >= b.minimum
                         and g.failed >= b.ratio * (g.succeeded + g.failed) then 'open'
                    when g.state = 'open' and moment >= g.since + b.cool_down then 'half_open'
                    when g.state = 'half_open' and g.failed > 0 then 'open'
                    when g.state = 'half_open' and g.succeeded >= m.bound then 'closed'
                    else g.state end as state) n
    where m.id = g.limit_id and m.kind = 'breaker'
      and (n.state <> g.state or (g.state = 'closed' and moment >= g.window_at + m.span and g.succeeded + g.failed > 0));
end
$$;
