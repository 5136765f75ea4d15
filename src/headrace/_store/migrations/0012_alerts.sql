-- Alerts: what is wrong now, and the messages about it that are to be sent. See docs/decisions/020-observability.md.

-- Workers whose lease others have ended: they died, or hung.
create table headrace.lost_worker (
    worker_id bigint primary key,
    host text not null,
    pid integer not null,
    lost_at timestamptz not null default now()
);
create index lost_worker_at on headrace.lost_worker (lost_at);

-- One row: when somebody is to look next whether something is wrong.
create table headrace.alert_look (
    only_row boolean primary key default true check (only_row),
    next_at timestamptz not null default '-infinity'
);
insert into headrace.alert_look default values;

-- What a rule has found and not yet found gone.
create table headrace.alert (
    rule text not null,
    subject text not null,                              -- which queue, task, breaker, …; '' where there is only one
    detail text not null,                               -- in words, as of seen_at
    since timestamptz not null,
    seen_at timestamptz not null,                       -- when it was last found
    raised_at timestamptz,                              -- null: it has not lasted for long enough
    told_at timestamptz,                                -- of the last message
    primary key (rule, subject)
);

-- Messages that have not been sent, one for each destination.
create table headrace.alert_message (
    id bigint generated always as identity primary key,
    destination text not null,                          -- its name: addresses hold secrets, and stay with the program
    kind text not null check (kind in ('raised', 'repeated', 'recovered')),
    rule text not null,
    subject text not null,
    detail text not null,
    severity text not null,
    since timestamptz not null,
    created_at timestamptz not null default now(),
    tries smallint not null default 0,
    next_at timestamptz not null default now()          -- nobody else sends it before; whoever sends it puts it off
);
