-- Games, results, goals and points of every player in each season and each half of it.
create or replace function league.update_half_and_full_season_stats()
returns bigint
language plpgsql
set work_mem = '64MB'
set jit = off
as $$
declare
    written bigint;
begin
    perform pg_advisory_xact_lock('league.season_stats'::regclass::oid::integer, 0);
    delete from league.season_stats;
    delete from league.half_season_stats;

    -- One statement, so that both tables are computed from the same matches.
    with half as materialized (
        select season, half, player_id,
               count(*) as games_played,
               count(*) filter (where result = 'W') as wins,
               count(*) filter (where result = 'D') as draws,
               count(*) filter (where result = 'L') as losses,
               sum(goals) as goals,
               sum(points) as points
        from league.results
        group by season, half, player_id
    ),
    half_rows as (
        insert into league.half_season_stats
              (season, half, player_id, games_played, wins, draws, losses, goals, win_percentage, points)
        select season, half, player_id, games_played, wins, draws, losses, goals,
               round(100.0 * wins / games_played, 2), points
        from half
        returning 1
    ),
    season_rows as (
        insert into league.season_stats
              (season, player_id, games_played, wins, draws, losses, goals, win_percentage, points)
        select season, player_id, sum(games_played), sum(wins), sum(draws), sum(losses), sum(goals),
               round(100.0 * sum(wins) / sum(games_played), 2), sum(points)
        from half
        group by season, player_id
        returning 1
    )
    select (select count(*) from half_rows) + (select count(*) from season_rows) into written;
    return written;
end
$$;
