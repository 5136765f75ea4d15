-- The ten best players of all time by games, by goals and by win percentage (from ten games on).
create or replace function league.update_aggregated_hall_of_fame()
returns bigint
language plpgsql
set work_mem = '64MB'
set jit = off
as $$
declare
    written bigint;
begin
    perform pg_advisory_xact_lock('league.hall_of_fame'::regclass::oid::integer, 0);
    delete from league.hall_of_fame;

    with career as (
        select player_id,
               count(*) as games_played,
               count(*) filter (where result = 'W') as wins,
               sum(goals) as goals,
               max(match_order) as last_match,
               max(match_order) filter (where goals > 0) as last_goal
        from league.results
        group by player_id
    ),
    entry as (
        select 'games_played' as category, player_id, games_played::numeric as value,
               games_played::double precision as ranked_by, last_match as reached_in
        from career
        union all
        select 'goals', player_id, goals, goals, last_goal
        from career
        where goals > 0
        union all
        -- Ranked by the exact share: two players may differ by less than the rounding.
        select 'win_percentage', player_id, round(100.0 * wins / games_played, 2),
               wins::double precision / games_played, last_match
        from career
        where games_played >= 10
    ),
    ranked as (
        select category, player_id, value,
               row_number() over (partition by category
                                  order by ranked_by desc, reached_in, player_id) as rank
        from entry
    )
    insert into league.hall_of_fame (category, rank, player_id, value)
    select category, rank, player_id, value
    from ranked
    where rank <= 10;

    get diagnostics written = row_count;
    return written;
end
$$;
