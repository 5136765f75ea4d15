-- The race for each season: every player's points and games so far, after each date they played on.
create or replace function league.update_aggregated_season_race_data()
returns bigint
language plpgsql
set work_mem = '64MB'
set jit = off
as $$
declare
    written bigint;
begin
    perform pg_advisory_xact_lock('league.season_race_data'::regclass::oid::integer, 0);
    delete from league.season_race_data;

    insert into league.season_race_data (season, player_id, date, points, games_played)
    select season, player_id, date,
           sum(sum(points)) over so_far,
           sum(count(*)) over so_far
    from league.results
    group by season, player_id, date
    window so_far as (partition by season, player_id order by date rows unbounded preceding);

    get diagnostics written = row_count;
    return written;
end
$$;
