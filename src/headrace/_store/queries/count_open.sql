-- How many unfinished jobs match, if there are not too many.
select count(*) from (select from headrace.job j where {open} limit %(cap)s) f
