-- What finds the names that may be secret: those of _redact.DEFAULT_NAMES by their first words, and those that apps have named.
create or replace function headrace.secret_names() returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select concat_ws('|', 'password|passwd|passphrase|pwd|secret|token|authorization|credential|cookie|api|access|private|'
                          'encryption|signing|connection|card|cvv|cvc',
                     (select string_agg(distinct split_part(n, '_', 1), '|')
                      from headrace.task t, jsonb_array_elements_text(t.secrets -> 'names') n))
$$;
