-- Creates the day partitions (UTC) from one day to another that are missing. LIKE and ATTACH, since CREATE ... PARTITION OF
-- takes a lock on the parent that settles and readers would wait for. Workers do not own tables: they call this.
create or replace function headrace.create_partitions(first_day date, last_day date) returns integer
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '5s'
as $$
declare
    parent text;
    day date;
    name text;
    made integer := 0;
begin
    perform pg_advisory_xact_lock(headrace.lock_key(), 3);
    foreach parent in array array['job_history_short', 'job_history_normal', 'job_history_long', 'attempt', 'job_log', 'payload', 'step']
    loop
        for day in select d::date from generate_series(first_day::timestamp, last_day::timestamp, interval '1 day') d
        loop
            name := format('%s_%s', parent, to_char(day, 'YYYYMMDD'));
            continue when to_regclass(format('headrace.%I', name)) is not null;
            execute format('create table headrace.%I (like headrace.%I including defaults including constraints)', name, parent);
            execute format('alter table headrace.%I attach partition headrace.%I for values from (%L) to (%L)', parent, name,
                           day::text || ' 00:00:00+00', (day + 1)::text || ' 00:00:00+00');
            -- Nothing is summarised before it is full: what is summarised is logged again with every insert.
            perform brin_desummarize_range(i.indexrelid, 0)
            from pg_index i join pg_class c on c.oid = i.indexrelid and c.relam = (select a.oid from pg_am a where a.amname = 'brin')
            where i.indrelid = to_regclass(format('headrace.%I', name));
            made := made + 1;
        end loop;
    end loop;
    perform headrace.create_audit_partitions(first_day, last_day);
    return made;
end
$$;
