-- How many finished jobs match, if there are not too many.
select count(*) from (select from headrace.job_history j where {finished} limit %(cap)s) f
