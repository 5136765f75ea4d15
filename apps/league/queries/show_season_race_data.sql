select season, date, players.external_id as player_id, name, points, games_played
from league.season_race_data
join league.players using (player_id)
order by season desc, date desc, points desc, players.player_id
limit %(limit)s
