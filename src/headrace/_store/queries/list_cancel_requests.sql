-- Which of these running jobs are asked to stop.
select j.id::text, j.cancel_reason from headrace.job j
where j.id = any(%(ids)s::uuid[]) and j.cancel_reason is not null
