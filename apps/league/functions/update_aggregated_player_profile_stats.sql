-- Every player's totals, best season, and five commonest team-mates.
create or replace function league.update_aggregated_player_profile_stats()
returns bigint
language plpgsql
set work_mem = '64MB'
set jit = off
set enable_hashagg = off
as $$
declare
    written bigint;
begin
    perform pg_advisory_xact_lock('league.player_profile_stats'::regclass::oid::integer, 0);
    delete from league.player_profile_stats;
    delete from league.player_profile_team_mates;

    -- One statement, so that both tables are computed from the same matches.
    with player_season as (
        select player_id, season,
               count(*) as games_played,
               count(*) filter (where result = 'W') as wins,
               count(*) filter (where result = 'D') as draws,
               count(*) filter (where result = 'L') as losses,
               sum(goals) as goals,
               sum(own_goals) as own_goals,
               sum(points) as points,
               min(match_order) as first_match,
               max(match_order) as last_match
        from league.results
        group by player_id, season
    ),
    total as (
        select player_id,
               sum(games_played) as games_played, sum(wins) as wins, sum(draws) as draws,
               sum(losses) as losses, sum(goals) as goals, sum(own_goals) as own_goals,
               sum(points) as points, count(*) as seasons_played,
               min(first_match) as first_match, max(last_match) as last_match
        from player_season
        group by player_id
    ),
    best_season as (
        select distinct on (player_id) player_id, season, points, goals
        from player_season
        order by player_id, points desc, goals desc, season
    ),
    profile_rows as (
        insert into league.player_profile_stats
              (player_id, games_played, wins, draws, losses, goals, own_goals, points, win_percentage,
               seasons_played, first_match_id, last_match_id,
               best_season, best_season_points, best_season_goals)
        select player_id, games_played, wins, draws, losses, total.goals, own_goals, total.points,
               round(100.0 * wins / games_played, 2),
               seasons_played, league.match_of(first_match), league.match_of(last_match),
               best_season.season, best_season.points, best_season.goals
        from total
        join best_season using (player_id)
        returning 1
    ),
    -- A side of a match as one number, in the order of the matches: the join on it is the largest of
    -- all ten functions. Hash aggregation is off for it: how many pairs there are cannot be estimated,
    -- and where they are millions, hashing spills badly; sorted by player they are soon ranked, too.
    team_member as (
        select player_id, match_order * 2 + case team when 'A' then 0 else 1 end as side_no
        from league.results
    ),
    team_mate as (
        select one.player_id, other.player_id as team_mate_id,
               count(*) as games_together, max(one.side_no) as reached_in
        from team_member one
        join team_member other on other.side_no = one.side_no and other.player_id <> one.player_id
        group by one.player_id, other.player_id
    ),
    ranked as (
        select player_id, team_mate_id, games_together,
               row_number() over (partition by player_id
                                  order by games_together desc, reached_in, team_mate_id) as rank
        from team_mate
    ),
    team_mate_rows as (
        insert into league.player_profile_team_mates (player_id, rank, team_mate_id, games_together)
        select player_id, rank, team_mate_id, games_together
        from ranked
        where rank <= 5
        returning 1
    )
    select (select count(*) from profile_rows) + (select count(*) from team_mate_rows) into written;
    return written;
end
$$;
