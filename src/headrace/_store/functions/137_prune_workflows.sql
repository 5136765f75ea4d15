-- Forgets workflows that finished long ago: a week, or 90 days if they failed, as jobs do that say nothing else. Their jobs have a
-- retention of their own.
create or replace function headrace.prune_workflows(as_of timestamptz, chunk integer) returns bigint
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set jit = off
as $$
declare
    old uuid[];
    nodes uuid[];
begin
    old := array(
        select w.id from headrace.workflow w
        where w.finished_at < as_of - headrace.class_age('normal')
          and w.finished_at < as_of - headrace.class_age(
              (case w.state when 'failed' then 'long' else 'normal' end)::headrace.retention)
        order by w.finished_at limit chunk for update skip locked);
    nodes := array(select n.job_id from headrace.workflow_node n where n.workflow_id = any(old));
    delete from headrace.dependency d where d.parent = any(nodes);
    delete from headrace.workflow_node n where n.job_id = any(nodes);
    delete from headrace.workflow w where w.id = any(old);
    return cardinality(old);
end
$$;
