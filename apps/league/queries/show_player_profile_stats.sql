select players.external_id as player_id, players.name, games_played, wins, draws, losses, goals, own_goals,
       points, win_percentage, seasons_played,
       first_match.external_id as first_match_id, last_match.external_id as last_match_id,
       best_season, best_season_points, best_season_goals,
       team_mates[1] ->> 'name' as commonest_team_mate, team_mates
from league.player_profile_stats profile
join league.players using (player_id)
join league.matches first_match on first_match.match_id = profile.first_match_id
join league.matches last_match on last_match.match_id = profile.last_match_id
cross join lateral (
    select array(
        select jsonb_build_object('player_id', team_mate.external_id, 'name', team_mate.name,
                                  'games_together', games_together)
        from league.player_profile_team_mates mates
        join league.players team_mate on team_mate.player_id = mates.team_mate_id
        where mates.player_id = players.player_id
        order by rank
    ) as team_mates
) as listed
order by games_played desc, points desc, players.player_id
limit %(limit)s
