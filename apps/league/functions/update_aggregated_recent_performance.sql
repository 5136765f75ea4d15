-- Results, points and goals of every player in their last five matches, the newest first.
create or replace function league.update_aggregated_recent_performance()
returns bigint
language plpgsql
set work_mem = '64MB'
set jit = off
as $$
declare
    written bigint;
begin
    perform pg_advisory_xact_lock('league.recent_performance'::regclass::oid::integer, 0);
    delete from league.recent_performance;

    with latest as (
        select player_id, match_id, goals, result, points,
               row_number() over (partition by player_id order by match_order desc) as matches_ago
        from league.results
    )
    insert into league.recent_performance
          (player_id, games_played, results, points, goals, goals_per_match, match_ids)
    select player_id,
           count(*),
           string_agg(result, '' order by matches_ago),
           sum(points),
           sum(goals),
           array_agg(goals order by matches_ago),
           array_agg(match_id order by matches_ago)
    from latest
    where matches_ago <= 5
    group by player_id;

    get diagnostics written = row_count;
    return written;
end
$$;
