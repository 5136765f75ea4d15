-- Functions are put in place of those of the same arguments only.
drop function if exists headrace.take_slots(uuid[], double precision, timestamptz);
drop function if exists headrace.choose_limited_jobs(text, integer, text[], integer[], uuid[], uuid[], timestamptz);
