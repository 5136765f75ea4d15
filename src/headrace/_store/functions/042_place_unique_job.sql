-- One job with a unique key: inserted, or what its on_conflict says is done to the job that holds the key.
-- Insert, else read, else again: the holder may finish between the two (ENGINE 20).
create or replace function headrace.place_unique_job(request headrace.request, out job_id uuid, out existed boolean)
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    holder record;
    large boolean;
begin
    loop
        existed := true;
        if request.unique_scope = 'period' then
            -- The key row outlives the job; an expired one is taken over.
            insert into headrace.enqueue_key as k (task, tenant, key, job_id, expires_at)
            values (request.task, coalesce(request.tenant, ''), request.unique_key, request.id, now() + request.unique_for)
            on conflict (task, tenant, key) do update
                set job_id = excluded.job_id, expires_at = excluded.expires_at
                where k.expires_at <= now()
            returning k.job_id into job_id;
            if found then
                request.unique_key := null;
                perform headrace.insert_requests(array[request]);
                existed := false;
                return;
            end if;
            select k.job_id, j.state, j.id is not null as unfinished into holder
            from headrace.enqueue_key k left join headrace.job j on j.id = k.job_id
            where k.task = request.task and k.tenant = coalesce(request.tenant, '') and k.key = request.unique_key;
        else
            select i into job_id from headrace.insert_requests(array[request]) i;
            if found then
                existed := false;
                return;
            end if;
            select j.id as job_id, j.state, true as unfinished into holder
            from headrace.job j
            where j.task = request.task and coalesce(j.tenant, '') = coalesce(request.tenant, '')
              and j.unique_key = request.unique_key;
        end if;
        -- The same request again: its job is there, whatever has become of its key.
        if holder.job_id = request.id or exists (select from headrace.job j where j.id = request.id) then
            job_id := request.id;
            existed := false;
            return;
        end if;
        continue when holder.job_id is null;
        job_id := holder.job_id;
        if request.on_conflict = 'keep' or not holder.unfinished then
            exit when request.on_conflict <> 'reject';
        end if;
        if request.on_conflict = 'reject' then
            raise exception using
                errcode = 'HR002',
                message = format('unique key "%s" of task "%s" is held by job %s', request.unique_key, request.task, job_id),
                detail = job_id::text;
        end if;
        -- replace and reschedule change a job that waits; one that runs keeps what it runs with.
        -- It joins the line again behind those that wait: its time is new, and scans may start behind its old position.
        -- Arguments that move to the payload take today's date: the partition of the job's own day may be gone.
        large := request.on_conflict = 'replace' and octet_length(request.args::text) > 2048;
        update headrace.job j
        set args = case when large then null when request.on_conflict = 'replace' then request.args else j.args end,
            created_at = case when large then now() else j.created_at end,
            run_at = request.run_at,
            lane = case when request.on_conflict = 'replace' then null else j.lane end, -- it may have another key now
            state = (case when request.due then 'queued' else 'scheduled' end)::headrace.job_state,
            position = case when request.due then nextval('headrace.job_position') end
        where j.id = holder.job_id and j.state in ('queued', 'scheduled');
        exit when not found;
        if large then
            delete from headrace.payload p where p.job_id = holder.job_id;
            insert into headrace.payload (job_id, created_at, args) values (holder.job_id, now(), request.args);
        end if;
        exit;
    end loop;
end
$$;
