-- The fence of ctx.transaction(), on whatever connection the handler uses, last before COMMIT.
select headrace.settle_attempt(
    %(worker_id)s::bigint, %(id)s::uuid, %(run)s::integer, %(result)s::text, %(progress)s::text)::text
