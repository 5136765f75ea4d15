-- What the planner thinks of how many finished jobs match.
explain (format json) select from headrace.job_history j where {finished}
