select season, players.external_id as player_id, name, games_played, wins, draws, losses, goals,
       win_percentage, points
from league.season_stats
join league.players using (player_id)
order by season desc, points desc, goals desc, players.player_id
limit %(limit)s
