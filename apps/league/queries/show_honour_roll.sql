select honour_roll.season, honour, players.external_id as player_id, name, value,
       first_match.external_id as first_match_id, matches.external_id as match_id, matches.date,
       format('%%s %%s-%%s %%s', matches.team_a, matches.score_a, matches.score_b, matches.team_b) as match
from league.honour_roll
join league.matches using (match_id)
left join league.matches first_match on first_match.match_id = honour_roll.first_match_id
left join league.players using (player_id)
order by honour_roll.season desc,
         array_position(array['winner', 'top_scorer', 'biggest_win', 'longest_streak'], honour)
limit %(limit)s
