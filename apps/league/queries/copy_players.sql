copy pg_temp.incoming_players (external_id, name) from stdin
