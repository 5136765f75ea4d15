-- What a claim answers of a job beside its fields, as JSON; null of most jobs, which have none of it. A plain SELECT of one value, so
-- that it becomes part of the statement that claims: three do.
create or replace function headrace.claim_extras(
    tenant text, correlation_id text, tags text[], metadata jsonb, expires_at timestamptz, workflow_id uuid, inputs jsonb
) returns text
language sql stable
as $$
    select case when workflow_id is not null
                then jsonb_build_object('tenant', tenant, 'correlation_id', correlation_id, 'tags', tags, 'metadata', metadata,
                                        'expired', expires_at < now(), 'workflow_id', workflow_id, 'inputs', inputs)::text
                when tenant is not null or correlation_id is not null or tags is not null or metadata is not null
                     or expires_at is not null
                then jsonb_build_object('tenant', tenant, 'correlation_id', correlation_id, 'tags', tags, 'metadata', metadata,
                                        'expired', expires_at < now())::text end
$$;
