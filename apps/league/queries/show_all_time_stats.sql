select players.external_id as player_id, name, games_played, wins, draws, losses, goals, win_percentage
from league.all_time_stats
join league.players using (player_id)
order by goals desc, games_played, players.player_id
limit %(limit)s
