-- Says that something has happened, in the caller's transaction; answers whether this was the first time: the first payload stays. An
-- event is forgotten after `keep`. An emit waits for the transaction of another one with the same name.
create or replace function headrace.emit(event text, payload jsonb default null, keep interval default interval '30 days')
    returns boolean
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    if coalesce(event, '') = '' or octet_length(event) > 300 then
        raise exception using errcode = 'HR003',
            message = format('the name of an event must have 1 to 300 bytes, not %s: %s', coalesce(octet_length(event), 0), left(event, 100));
    end if;
    -- JSONB's text has spaces that a client's has not: twice the 256 KiB that clients hold to.
    if octet_length(payload::text) > 524288 then
        raise exception using errcode = 'HR003',
            message = format('the payload of event "%s" is %s bytes long, at most 524288 are allowed', event, octet_length(payload::text));
    end if;
    if keep <= interval '0' then
        raise exception using errcode = 'HR003', message = format('event "%s": keep must be more than nothing, not %s', event, keep);
    end if;
    insert into headrace.event as e (name, payload, expires_at) values (emit.event, emit.payload, now() + emit.keep)
    on conflict (name) do update
        set payload = excluded.payload, emitted_at = excluded.emitted_at, expires_at = excluded.expires_at, delivered = false
        where e.expires_at <= now();
    return found;
end
$$;
