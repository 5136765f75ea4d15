-- Every player's best match, longest winning streak and longest scoring streak.
create or replace function league.update_aggregated_personal_bests()
returns bigint
language plpgsql
set work_mem = '64MB'
set jit = off
as $$
declare
    written bigint;
begin
    perform pg_advisory_xact_lock('league.personal_bests'::regclass::oid::integer, 0);
    delete from league.personal_bests;

    with numbered_streak as materialized (
        -- These counts stand still between two matches that broke a streak: they number the streaks.
        select player_id, match_id, match_order, goals, result = 'W' as won,
               count(*) filter (where result <> 'W') over so_far as winning_no,
               count(*) filter (where goals = 0) over so_far as scoring_no
        from league.results
        window so_far as (partition by player_id order by match_order rows unbounded preceding)
    ),
    streak as (
        select player_id, 'winning' as kind, count(*) as length,
               min(match_order) as first_match, max(match_order) as last_match
        from numbered_streak
        where won
        group by player_id, winning_no
        union all
        select player_id, 'scoring', count(*), min(match_order), max(match_order)
        from numbered_streak
        where goals > 0
        group by player_id, scoring_no
    ),
    longest as (
        select distinct on (player_id, kind) player_id, kind, length,
               league.match_of(first_match) as first_match_id,
               league.match_of(last_match) as last_match_id
        from streak
        order by player_id, kind, length desc, last_match
    ),
    best_match as (
        select distinct on (player_id) player_id, match_id, goals
        from numbered_streak
        where goals > 0
        order by player_id, goals desc, match_order
    )
    insert into league.personal_bests
          (player_id, best_match_id, best_match_goals,
           longest_win_streak, win_streak_first_match_id, win_streak_last_match_id,
           longest_scoring_streak, scoring_streak_first_match_id, scoring_streak_last_match_id)
    select player.player_id, best_match.match_id, coalesce(best_match.goals, 0),
           coalesce(winning.length, 0), winning.first_match_id, winning.last_match_id,
           coalesce(scoring.length, 0), scoring.first_match_id, scoring.last_match_id
    from (select distinct player_id from numbered_streak) as player
    left join best_match using (player_id)
    left join longest winning on winning.player_id = player.player_id and winning.kind = 'winning'
    left join longest scoring on scoring.player_id = player.player_id and scoring.kind = 'scoring';

    get diagnostics written = row_count;
    return written;
end
$$;
