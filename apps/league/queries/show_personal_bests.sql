select players.external_id as player_id, name,
       best_match.external_id as best_match_id, best_match_goals,
       longest_win_streak,
       win_first.external_id as win_streak_first_match_id,
       win_last.external_id as win_streak_last_match_id,
       longest_scoring_streak,
       scoring_first.external_id as scoring_streak_first_match_id,
       scoring_last.external_id as scoring_streak_last_match_id
from league.personal_bests bests
join league.players using (player_id)
left join league.matches best_match on best_match.match_id = bests.best_match_id
left join league.matches win_first on win_first.match_id = bests.win_streak_first_match_id
left join league.matches win_last on win_last.match_id = bests.win_streak_last_match_id
left join league.matches scoring_first on scoring_first.match_id = bests.scoring_streak_first_match_id
left join league.matches scoring_last on scoring_last.match_id = bests.scoring_streak_last_match_id
order by best_match_goals desc, longest_win_streak desc, longest_scoring_streak desc, players.player_id
limit %(limit)s
