-- The texts and numbers in a JSON value, but for what has a name that may be secret, for looking for a text in it: what must not be
-- shown must not be found out letter by letter.
create or replace function headrace.shown_text(value jsonb, secret text) returns text
language sql stable
as $$
    select case jsonb_typeof(value)
        when 'object' then (select string_agg(headrace.shown_text(e.value, secret), ' ') from jsonb_each(value) e where e.key !~* secret)
        when 'array' then (select string_agg(headrace.shown_text(e, secret), ' ') from jsonb_array_elements(value) e)
        else value #>> '{}' end
$$;
