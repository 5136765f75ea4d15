-- The server's clock, as it is when the statement runs.
select clock_timestamp()
