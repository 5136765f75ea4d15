-- Where an exception was raised, as "folder/file.py in function": the innermost frame that is not a library's, else the innermost.
-- Without line numbers and the rest of the path, so that the next release's is the same. Null if there is no traceback.
create or replace function headrace.error_place(error jsonb) returns text
language plpgsql immutable strict parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
    blocks text[] := string_to_array(error ->> 'traceback', 'Traceback (most recent call last)');
    place text;
begin
    -- Of a chain of exceptions the last one is what ended the attempt.
    select regexp_replace(f.frame[1], '^.*[/\\](?=[^/\\]+[/\\][^/\\]+$)', '') || ' in ' || f.frame[2] into place
    from regexp_matches(blocks[cardinality(blocks)], 'File "([^"\n]*)", line \d+, in ([^\n]*)', 'g') with ordinality as f (frame, n)
    order by f.frame[1] ~ '[/\\](site|dist)-packages[/\\]|[/\\]lib[/\\]python\d|^<', f.n desc
    limit 1;
    return place;
end
$$;
