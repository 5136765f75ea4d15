-- Opens breakers behind which too many attempts have failed, lets probes through those that have cooled down, and closes those
-- whose probes have all succeeded, or that an operator has closed. Outcomes are counted in windows, one after the other.
create or replace function headrace.turn_breakers(moment timestamptz) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    with judged as (
        select g.limit_id, g.key, moment >= g.window_at + m.span and g.succeeded + g.failed > 0 as full,
               case when m.reset_at > g.since and g.state <> 'closed' then 'closed'
                    when g.state = 'closed' and g.succeeded + g.failed >= (m.settings ->> 'minimum')::integer
                         and g.failed >= (m.settings ->> 'ratio')::float8 * (g.succeeded + g.failed) then 'open'
                    when g.state = 'open' and moment >= g.since + make_interval(secs => (m.settings ->> 'cool_down_s')::float8)
                    then 'half_open'
                    when g.state = 'half_open' and g.failed > 0 then 'open'
                    when g.state = 'half_open' and g.succeeded >= m.bound then 'closed'
                    else g.state end as state
        from headrace.flow_limit m join headrace.flow_gate g on g.limit_id = m.id
        where m.kind = 'breaker'
    )
    update headrace.flow_gate g
    set state = j.state, since = case when j.state = g.state then g.since else moment end,
        window_at = moment, succeeded = 0, failed = 0, probes = 0
    from judged j
    where g.limit_id = j.limit_id and g.key = j.key and (j.state <> g.state or (g.state = 'closed' and j.full));
end
$$;
