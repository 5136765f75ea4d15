-- What the planner thinks of how many unfinished jobs match.
explain (format json) select from headrace.job j where {open}
