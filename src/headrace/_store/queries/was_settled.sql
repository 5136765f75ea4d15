-- Whether this run ended as a success: asked when the answer to a COMMIT was lost.
select exists (
    select from headrace.job_history h
    where h.id = %(id)s::uuid and h.run = %(run)s and h.worker_id = %(worker_id)s and h.state = 'succeeded'
      and h.finished_at >= headrace.uuid7_floor(%(id)s::uuid))
