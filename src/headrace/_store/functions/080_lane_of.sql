-- The lane of a job: its task, and every limit that stops jobs like it with the job's key there, as JSON. `limited` says whether
-- any limit applies. A key that is long is shortened: an entry of an index has to stay small.
-- A plain SELECT, so that it becomes part of the statement that calls it.
create or replace function headrace.lane_of(
    queue text, task text, tenant text, args jsonb, job_id uuid, created_at timestamptz
) returns table (lane text, limited boolean)
language sql stable
as $$
    select (jsonb_build_array(lane_of.task)
            || coalesce(jsonb_agg(jsonb_build_array(m.id, case when length(k.key) <= 120 then k.key
                                                               else left(k.key, 80) || ' ' || md5(k.key) end) order by m.id)
                        filter (where m.kind <> 'ageing'), '[]'))::text,
           count(*) > 0
    from headrace.flow_limit m
    cross join lateral (
        select coalesce(case when m.key is null then ''
                             when m.key = 'tenant' then lane_of.tenant
                             else coalesce(lane_of.args, (
                                 select p.args from headrace.payload p
                                 where p.job_id = lane_of.job_id and p.created_at = lane_of.created_at)) ->> m.key end, '') as key) k
    where m.enabled and (m.queue = lane_of.queue or lane_of.task = any(m.tasks))
$$;
