select players.external_id as player_id, name, games_played, results, points, goals, goals_per_match,
       array(select matches.external_id
             from unnest(match_ids) with ordinality as recent (match_id, matches_ago)
             join league.matches using (match_id)
             order by matches_ago) as match_ids
from league.recent_performance
join league.players using (player_id)
order by points desc, goals desc, players.player_id
limit %(limit)s
