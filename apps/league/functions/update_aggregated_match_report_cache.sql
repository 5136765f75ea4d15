-- The last match: its result, scorers, and the streaks and milestones that its players reached in it.
create or replace function league.update_aggregated_match_report_cache()
returns bigint
language plpgsql
set work_mem = '64MB'
set jit = off
as $$
declare
    shortest_streak constant integer := 3;
    milestone constant integer := 10;
    written bigint;
begin
    perform pg_advisory_xact_lock('league.match_report'::regclass::oid::integer, 0);
    delete from league.match_report;

    with last_match as (
        select match_id, score_a, score_b
        from league.matches
        order by date desc, match_id desc
        limit 1
    ),
    history as (
        select player_id, team, goals, own_goals, result,
               row_number() over (partition by player_id order by match_order desc) as matches_ago
        from league.results
        where player_id in (select player_id from league.appearances join last_match using (match_id))
    ),
    player as (
        -- matches_ago is 1 for the last match: a streak is as long as the way back to what broke it.
        select player_id,
               min(team) filter (where matches_ago = 1) as team,
               sum(goals) filter (where matches_ago = 1) as goals,
               sum(own_goals) filter (where matches_ago = 1) as own_goals,
               count(*) as career_games,
               sum(goals) as career_goals,
               coalesce(min(matches_ago) filter (where result <> 'W') - 1, count(*)) as winning,
               coalesce(min(matches_ago) filter (where result = 'L') - 1, count(*)) as unbeaten,
               coalesce(min(matches_ago) filter (where result <> 'L') - 1, count(*)) as losing,
               coalesce(min(matches_ago) filter (where goals = 0) - 1, count(*)) as scoring
        from history
        group by player_id
    ),
    line as (
        select 0 as kind_no, 'result' as kind, null::integer as player_id,
               case when score_a > score_b then 'A' when score_b > score_a then 'B' end as team,
               abs(score_a - score_b) as value
        from last_match
        union all
        select kind_no, kind, player_id, team, value
        from player
        cross join lateral (values
            (1, 'goals', goals, goals > 0),
            (2, 'own_goals', own_goals, own_goals > 0),
            (3, 'winning_streak', winning, winning >= shortest_streak),
            (4, 'unbeaten_streak', unbeaten, unbeaten >= shortest_streak and unbeaten > winning),
            (5, 'losing_streak', losing, losing >= shortest_streak),
            (6, 'scoring_streak', scoring, scoring >= shortest_streak),
            (7, 'games_milestone', career_games, career_games % milestone = 0),
            (8, 'goals_milestone', career_goals - career_goals % milestone,
                career_goals / milestone > (career_goals - goals) / milestone)
        ) as reported (kind_no, kind, value, is_worth_a_line)
        where is_worth_a_line
    )
    insert into league.match_report (position, match_id, kind, player_id, team, value)
    select row_number() over (order by kind_no, value desc, player_id),
           match_id, kind, player_id, team, value
    from line
    cross join last_match;

    get diagnostics written = row_count;
    return written;
end
$$;
