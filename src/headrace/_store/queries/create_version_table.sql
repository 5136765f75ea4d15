-- What has been applied: migrations by their numbers, and all functions as version 0.
create table headrace.schema_version (
    version integer primary key,
    name text not null,
    checksum text not null,
    applied_at timestamptz not null default now()
)
