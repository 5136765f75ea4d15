select category, rank, players.external_id as player_id, name, value
from league.hall_of_fame
join league.players using (player_id)
order by category, rank
limit %(limit)s
