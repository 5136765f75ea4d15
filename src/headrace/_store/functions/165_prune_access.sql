-- Deletes what does not count any more: sessions, links, and tries to sign in of long ago. Workers keep house, but may not look.
create or replace function headrace.prune_access(idle_s double precision, absolute_s double precision) returns void
language sql security definer
set search_path = pg_catalog, pg_temp
as $$
    delete from headrace.access_session s
    where s.seen_at < now() - make_interval(secs => idle_s) or s.created_at < now() - make_interval(secs => absolute_s);
    delete from headrace.access_link l where l.expires_at < now();
    delete from headrace.access_try t where t.since < now() - interval '1 day';
$$;
