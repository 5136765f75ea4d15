-- Arguments above 2 kB of one job, fetched when it starts, so that a claim is bounded in bytes as it is in rows.
select p.args::text from headrace.payload p
where p.job_id = %(id)s::uuid and p.created_at >= headrace.uuid7_floor(%(id)s::uuid)
order by p.created_at desc limit 1
