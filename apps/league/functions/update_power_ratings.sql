-- Every player's power rating after each match, and the current one.
create or replace function league.update_power_ratings()
returns bigint
language plpgsql
set work_mem = '64MB'
set jit = off
as $$
declare
    written bigint;
begin
    perform pg_advisory_xact_lock('league.player_power_rating'::regclass::oid::integer, 0);
    delete from league.player_power_rating;
    delete from league.player_power_rating_per_match;

    -- One statement, so that both tables are computed from the same matches.
    with performance as (
        select player_id, match_id, match_order, points + goals - own_goals as performance
        from league.results
    ),
    rated as materialized (
        select player_id, match_id, performance,
               league.power_rating(performance) over so_far as rating,
               row_number() over so_far as game_no,
               lead(match_id) over so_far is null as is_latest
        from performance
        window so_far as (partition by player_id order by match_order rows unbounded preceding)
    ),
    match_rows as (
        insert into league.player_power_rating_per_match (player_id, match_id, performance, rating)
        select player_id, match_id, performance, rating
        from rated
        returning 1
    ),
    player_rows as (
        insert into league.player_power_rating (player_id, rating, games_played, last_match_id)
        select player_id, rating, game_no, match_id
        from rated
        where is_latest
        returning 1
    )
    select (select count(*) from match_rows) + (select count(*) from player_rows) into written;
    return written;
end
$$;
