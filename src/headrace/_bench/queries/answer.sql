-- The shortest question there is: its time is the round trip.
select 1
