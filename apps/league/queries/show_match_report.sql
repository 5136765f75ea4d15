select matches.external_id as match_id, date,
       format('%%s %%s-%%s %%s', team_a, score_a, score_b, team_b) as match,
       team_a, team_b, score_a, score_b,
       kind, team, players.external_id as player_id, name, value
from league.match_report
join league.matches using (match_id)
left join league.players using (player_id)
order by position
limit %(limit)s
