copy pg_temp.incoming_appearances (match_external_id, player_external_id, team, goals, own_goals) from stdin
