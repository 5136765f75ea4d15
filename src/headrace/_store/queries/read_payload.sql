-- Arguments above 2 kB of one unfinished job, fetched when it starts, so that a claim is bounded in bytes as it is in rows. The
-- job knows the day of its payload.
select p.args::text
from headrace.job j join headrace.payload p on p.job_id = j.id and p.created_at = j.created_at
where j.id = %(id)s::uuid
