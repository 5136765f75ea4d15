-- Where an exception was raised, as "folder/file.py in function": the innermost frame that is not a library's, else the innermost.
-- Without line numbers and the rest of the path, so that the next release's is the same. Null if there is no traceback.
create or replace function headrace.error_place(error jsonb) returns text
language plpgsql immutable strict parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
    blocks text[] := string_to_array(error ->> 'traceback', 'Traceback (most recent call last)');
    frames text[];
    frame text;
    path text;
    place text;
begin
    -- Of a chain of exceptions the last one is what ended the attempt.
    frames := string_to_array(blocks[cardinality(blocks)], 'File "');
    for i in reverse coalesce(cardinality(frames), 0) .. 2 loop
        frame := split_part(frames[i], E'\n', 1);
        continue when frame not like '%", line %, in %';
        path := replace(split_part(frame, '"', 1), E'\\', '/');
        if place is null or not (path ~ '/(site|dist)-packages/|/lib/python\d|^<') then
            place := regexp_replace(path, '^.*/(?=[^/]+/[^/]+$)', '') || ' in ' || split_part(frame, ', in ', 2);
            exit when not (path ~ '/(site|dist)-packages/|/lib/python\d|^<');
        end if;
    end loop;
    return place;
end
$$;
