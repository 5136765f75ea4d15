select id, beat from headrace.worker
