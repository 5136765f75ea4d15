select headrace.settle_jobs(
    %(worker_id)s::bigint, %(ids)s::uuid[], %(runs)s::integer[], %(outcomes)s::text[], %(waits_s)s::float8[],
    %(results)s::text[], %(errors)s::text[], %(progresses)s::text[], %(again)s)::text
