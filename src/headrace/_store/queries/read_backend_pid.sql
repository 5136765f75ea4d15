-- Which server process answers: a pooler tells its clients another number.
select pg_backend_pid()
