select players.external_id as player_id, name, round(rating::numeric, 4) as rating, games_played,
       last_match.external_id as last_match_id,
       array(select jsonb_build_object('match_id', matches.external_id, 'date', date,
                                       'performance', performance,
                                       'rating', round(per_match.rating::numeric, 4))
             from league.player_power_rating_per_match per_match
             join league.matches using (match_id)
             where per_match.player_id = players.player_id
             order by date, matches.match_id) as per_match
from league.player_power_rating
join league.players using (player_id)
join league.matches last_match on last_match.match_id = last_match_id
order by player_power_rating.rating desc, players.player_id
limit %(limit)s
