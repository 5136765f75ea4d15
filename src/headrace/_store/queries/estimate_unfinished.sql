-- How many unfinished jobs there were when the table was last analysed.
select c.reltuples::bigint as jobs from pg_class c where c.oid = 'headrace.job'::regclass
