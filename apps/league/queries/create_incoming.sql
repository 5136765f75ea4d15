-- Tables of this transaction for the rows to be stored, in the order in which they came.
create temporary table incoming_players (
    position    integer generated always as identity,
    external_id text primary key,
    name        text not null
);

create temporary table incoming_matches (
    position    integer generated always as identity,
    external_id text primary key,
    date        date not null,
    team_a      text not null,
    team_b      text not null,
    score_a     integer not null,
    score_b     integer not null
);

create temporary table incoming_appearances (
    match_external_id  text not null,
    player_external_id text not null,
    team               text not null,
    goals              integer not null,
    own_goals          integer not null,
    primary key (match_external_id, player_external_id)
);
