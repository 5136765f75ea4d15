-- The honours of every season: winner, top scorer, biggest win and longest winning streak.
create or replace function league.update_aggregated_season_honours_and_records()
returns bigint
language plpgsql
set work_mem = '64MB'
set jit = off
as $$
declare
    written bigint;
begin
    perform pg_advisory_xact_lock('league.honour_roll'::regclass::oid::integer, 0);
    delete from league.honour_roll;

    with player_season as (
        select season, player_id,
               sum(points) as points,
               sum(goals) as goals,
               max(match_order) filter (where points > 0 or goals > 0) as standing_reached_in,
               max(match_order) filter (where goals > 0) as goals_reached_in
        from league.results
        group by season, player_id
    ),
    numbered_streak as (
        -- Between two matches not won this count stands still: it numbers a player's streaks.
        select season, player_id, match_order, result,
               count(*) filter (where result <> 'W')
                   over (partition by season, player_id order by match_order
                         rows unbounded preceding) as streak_no
        from league.results
    ),
    streak as (
        select season, player_id, count(*) as length,
               min(match_order) as first_match, max(match_order) as last_match
        from numbered_streak
        where result = 'W'
        group by season, player_id, streak_no
    ),
    candidate as (
        select season, 'winner' as honour, player_id, points as value, goals as second_value,
               null::bigint as first_match, standing_reached_in as reached_in
        from player_season
        where points > 0
        union all
        select season, 'top_scorer', player_id, goals, null, null, goals_reached_in
        from player_season
        where goals > 0
        union all
        select season, 'biggest_win', null, abs(score_a - score_b), null, null, match_order
        from league.matches
        where score_a <> score_b
        union all
        select season, 'longest_streak', player_id, length, null, first_match, last_match
        from streak
    )
    insert into league.honour_roll (season, honour, player_id, value, first_match_id, match_id)
    select distinct on (season, honour)
           season, honour, player_id, value, league.match_of(first_match), league.match_of(reached_in)
    from candidate
    order by season, honour, value desc, second_value desc, reached_in, player_id;

    get diagnostics written = row_count;
    return written;
end
$$;
