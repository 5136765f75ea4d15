-- Makes every gate's count of running jobs what runs, and answers how many it changed: the remedy for what inspect_gates finds. Limited
-- claims of workers do nothing meanwhile, some milliseconds.
create or replace function headrace.recount_gates() returns integer
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    changed integer;
begin
    perform pg_advisory_xact_lock(headrace.lock_key(), 5);
    with holder as (
        select j.lane from headrace.job j where j.lane is not null and j.state = 'running'
        union all
        select e.lane from headrace.flow_release r cross join lateral unnest(r.lanes) as e(lane)
    ), actual as (
        select (p.pair ->> 0)::bigint as limit_id, p.pair ->> 1 as key, count(*)::integer as running
        from holder h cross join lateral jsonb_array_elements(h.lane::jsonb - 0) as p(pair)
        group by 1, 2
    ), missing as (
        insert into headrace.flow_gate (limit_id, key, held)
        select a.limit_id, a.key, a.running
        from actual a join headrace.flow_limit m on m.id = a.limit_id
        on conflict (limit_id, key) do update set held = excluded.held where headrace.flow_gate.held <> excluded.held
        returning 1
    ), idle as (
        update headrace.flow_gate g set held = 0
        where g.held <> 0
          and not exists (select from actual a where a.limit_id = g.limit_id and a.key = g.key collate "C")
        returning 1
    )
    select (select count(*) from missing) + (select count(*) from idle) into changed;
    return changed;
end
$$;
