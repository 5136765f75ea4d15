select count(*) from league.matches
