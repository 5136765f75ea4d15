-- The key of a match (the documents' matchId) by the id of the imported files.
select match_id from league.matches where external_id = %(external_id)s
