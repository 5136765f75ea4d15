-- After many new rows: without their statistics the functions are planned for an empty league.
analyze league.players, league.matches, league.appearances
