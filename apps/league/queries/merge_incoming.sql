-- Makes players, matches and the appearances in these matches what the incoming tables say.

-- Two of these at once would wait for each other's rows in different orders.
select pg_advisory_xact_lock('league.matches'::regclass::oid::integer, 0);

analyze pg_temp.incoming_players, pg_temp.incoming_matches, pg_temp.incoming_appearances;

insert into league.players (external_id, name)
select external_id, name
from pg_temp.incoming_players
order by position
on conflict (external_id) do update
set name = excluded.name
where players.name <> excluded.name;

insert into league.matches (external_id, date, team_a, team_b, score_a, score_b)
select external_id, date, team_a, team_b, score_a, score_b
from pg_temp.incoming_matches
order by position
on conflict (external_id) do update
set date = excluded.date,
    team_a = excluded.team_a,
    team_b = excluded.team_b,
    score_a = excluded.score_a,
    score_b = excluded.score_b
where (matches.date, matches.team_a, matches.team_b, matches.score_a, matches.score_b)
   <> (excluded.date, excluded.team_a, excluded.team_b, excluded.score_a, excluded.score_b);

delete from league.appearances
using league.matches, league.players
where matches.match_id = appearances.match_id
  and players.player_id = appearances.player_id
  and matches.external_id in (select external_id from pg_temp.incoming_matches)
  and not exists (
      select from pg_temp.incoming_appearances incoming
      where incoming.match_external_id = matches.external_id
        and incoming.player_external_id = players.external_id
  );

insert into league.appearances (match_id, player_id, team, goals, own_goals)
select match_id, player_id, team, goals, own_goals
from pg_temp.incoming_appearances incoming
join league.matches on matches.external_id = incoming.match_external_id
join league.players on players.external_id = incoming.player_external_id
order by match_id, player_id
on conflict (match_id, player_id) do update
set team = excluded.team,
    goals = excluded.goals,
    own_goals = excluded.own_goals
where (appearances.team, appearances.goals, appearances.own_goals)
   <> (excluded.team, excluded.goals, excluded.own_goals);

drop table pg_temp.incoming_players, pg_temp.incoming_matches, pg_temp.incoming_appearances;
