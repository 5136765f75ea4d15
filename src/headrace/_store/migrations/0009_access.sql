-- Who may see and do what, what must not be shown, and who did what. See ../functions/16?_*.sql and docs/decisions/017-access.md.

-- What the code of the last worker that started says of its tasks: their earlier names, and where their arguments and results
-- hold secrets (_redact.py), so that whoever shows jobs need not import the app.
alter table headrace.task add column aliases text[], add column secrets jsonb;

-- How long the audit log is kept: of all processes that share the database.
alter table headrace.instance add column audit_age interval not null default '365 days' check (audit_age > '0');

-- Every operator's action, in the same transaction as what it did. Rows are only added, by headrace.record_audit; whole months go when
-- they are out of retention.
create sequence headrace.audit_number cache 1;
create table headrace.audit (
    id bigint not null,                                 -- in the order in which they were recorded
    at timestamptz not null,
    by text not null,                                   -- a user, a key, or user@host
    source text not null,                               -- cli, dashboard, api or python
    address text,                                       -- where the request came from
    action text not null,                               -- job.cancel, queue.pause, ...
    kind text not null,                                 -- of what: job, queue, limit, ...
    targets text[] not null,                            -- their ids or names; of a bulk action the first 1,000
    count bigint not null,                              -- of how many
    before jsonb,                                       -- without secrets
    after jsonb
) partition by range (at);
create index audit_id on headrace.audit (id);
create index audit_by on headrace.audit (by, id);
create index audit_action on headrace.audit (action, id);
create index audit_targets on headrace.audit using gin (targets);

-- People. Names are compared without regard to case.
create table headrace.access_user (
    name text primary key,
    password text,                                      -- argon2; null: none was chosen yet
    role text not null check (role in ('viewer', 'operator', 'admin')),
    tenant text,                                        -- the only one whose jobs they see; null: all
    created_at timestamptz not null default now(),
    created_by text not null,
    signed_in_at timestamptz
);
create unique index access_user_name on headrace.access_user (lower(name));

-- Programs. The key itself is shown once, and kept as SHA-256: it is 256 random bits, which nobody can try out.
create table headrace.access_key (
    prefix text primary key,                            -- the part of the key by which it is found
    name text not null,
    digest bytea not null,
    role text not null check (role in ('viewer', 'operator', 'admin')),
    tenant text,
    created_at timestamptz not null default now(),
    created_by text not null,
    expires_at timestamptz,
    revoked_at timestamptz,
    used_at timestamptz                                 -- to the minute
);
create unique index access_key_name on headrace.access_key (name) where revoked_at is null;

-- Who is signed in. The cookie holds 256 random bits, this their SHA-256.
create table headrace.access_session (
    digest bytea primary key,
    user_name text not null references headrace.access_user (name) on delete cascade on update cascade,
    created_at timestamptz not null default now(),
    seen_at timestamptz not null default now(),         -- to the minute
    address text
) with (fillfactor = 50);
create index access_session_user on headrace.access_session (user_name);

-- Links that let somebody choose a password, once.
create table headrace.access_link (
    digest bytea primary key,
    user_name text references headrace.access_user (name) on delete cascade on update cascade, -- null: of a new administrator
    created_at timestamptz not null default now(),
    expires_at timestamptz not null
);

-- How often somebody has tried to sign in, by name and address.
create table headrace.access_try (
    key text primary key,
    tries integer not null,
    since timestamptz not null default now()
) with (fillfactor = 50);
