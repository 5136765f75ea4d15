-- Counts one try to sign in under each of these keys, before the password is looked at, so that tries at the same moment count,
-- too. Answers for how long the door stays closed (0: it is open), and whether this is the first try that finds it closed.
create or replace function headrace.count_tries(keys text[], bounds integer[], span_s double precision)
    returns table (wait_s double precision, is_first boolean)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    span constant interval := make_interval(secs => span_s);
begin
    return query
    with asked as (
        select k.key, k.bound from unnest(keys, bounds) as k(key, bound)
    ), counted as (
        insert into headrace.access_try as t (key, tries, since)
        select a.key, 1, now() from asked a order by a.key
        on conflict (key) do update
        set tries = case when t.since < now() - span then 1 else t.tries + 1 end,
            since = case when t.since < now() - span then now() else t.since end
        returning t.key, t.tries, t.since
    )
    select coalesce(max(extract(epoch from c.since + span - now())) filter (where c.tries > a.bound), 0)::double precision,
           coalesce(bool_and(c.tries = a.bound + 1) filter (where c.tries > a.bound), false)
    from counted c join asked a on a.key = c.key;
end
$$;
