-- Who appeared in a match, by the ids of the imported files.
select p.external_id, a.team
from league.appearances a
join league.matches m using (match_id)
join league.players p using (player_id)
where m.external_id = %(external_id)s
order by p.external_id
