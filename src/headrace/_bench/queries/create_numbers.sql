-- What commits are timed with.
create table headrace.bench_number (number integer)
