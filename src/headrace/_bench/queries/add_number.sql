insert into headrace.bench_number values (1)
