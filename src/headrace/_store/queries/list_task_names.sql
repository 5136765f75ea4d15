select name from headrace.task order by name
