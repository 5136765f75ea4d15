select external_id, date, team_a, team_b from league.matches order by date desc, match_id desc limit 1
