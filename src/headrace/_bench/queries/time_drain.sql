-- How many jobs of a round have finished, and in how many seconds, from the first claim to the last settle. All by the server's
-- clock: the reader need not be there at the right moment.
select count(*), extract(epoch from max(h.finished_at) - min(h.claimed_at))::float8
from headrace.job_history h
where h.created_at >= %(since)s and h.state = 'succeeded'
