-- The fence of ctx.transaction(), on whatever connection the handler uses: the success of one attempt, last before COMMIT.
-- Answers the id if the attempt is no longer this worker's.
select headrace.settle_jobs(
    %(worker_id)s::bigint, array[%(id)s::uuid], array[%(run)s::integer], array['succeeded'], array[0]::float8[],
    array[%(result)s::text], array[null]::text[], array[%(progress)s::text])::text
