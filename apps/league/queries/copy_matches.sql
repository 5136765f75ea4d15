copy pg_temp.incoming_matches (external_id, date, team_a, team_b, score_a, score_b) from stdin
