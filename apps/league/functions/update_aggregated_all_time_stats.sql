-- Games, results and goals of every player over all seasons.
create or replace function league.update_aggregated_all_time_stats()
returns bigint
language plpgsql
set work_mem = '64MB'
set jit = off
as $$
declare
    written bigint;
begin
    perform pg_advisory_xact_lock('league.all_time_stats'::regclass::oid::integer, 0);
    delete from league.all_time_stats;

    insert into league.all_time_stats
          (player_id, games_played, wins, draws, losses, goals, win_percentage)
    select player_id,
           count(*),
           count(*) filter (where result = 'W'),
           count(*) filter (where result = 'D'),
           count(*) filter (where result = 'L'),
           sum(goals),
           round(100.0 * count(*) filter (where result = 'W') / count(*), 2)
    from league.results
    group by player_id;

    get diagnostics written = row_count;
    return written;
end
$$;
