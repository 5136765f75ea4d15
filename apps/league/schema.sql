-- The league: what was played (players, matches, appearances), and one table for each result that a
-- statistics function computes. Everything here may be applied again to a database that has it.

create schema if not exists league;

create table if not exists league.players (
    player_id   integer generated always as identity primary key,
    external_id text not null unique,
    name        text not null
);

create table if not exists league.matches (
    match_id    integer generated always as identity primary key,
    external_id text not null unique,
    date        date not null,
    team_a      text not null,
    team_b      text not null,
    score_a     integer not null check (score_a >= 0),
    score_b     integer not null check (score_b >= 0),
    season      integer not null generated always as (extract(year from date)::integer) stored,
    half        integer not null generated always as
                    (case when extract(month from date) <= 6 then 1 else 2 end) stored
);

-- Sorts all matches by date, then match key, which is how every tie is resolved; match_of() turns it
-- back into the key. A power of ten, not of two: the hash of a bigint is one half of it xor the other.
alter table league.matches add column if not exists match_order bigint not null
    generated always as ((date - date '0001-01-01')::bigint * 10000000000 + match_id) stored;

create table if not exists league.appearances (
    match_id  integer not null references league.matches,
    player_id integer not null references league.players,
    team      text not null check (team in ('A', 'B')),
    goals     integer not null check (goals >= 0),
    own_goals integer not null check (own_goals >= 0),
    primary key (match_id, player_id)
);

create or replace function league.match_of(match_order bigint) returns integer
language sql immutable parallel safe
return (match_order % 10000000000)::integer;

-- An appearance with the result of the team that the player appeared in. (Dropped first: a view cannot
-- be replaced by one with other columns.)
drop view if exists league.results;
create view league.results as
select player_id, match_id, match_order, date, season, half, team, goals, own_goals, result,
       case result when 'W' then 3 when 'D' then 1 else 0 end as points
from (
    select a.player_id, a.match_id, m.match_order, m.date, m.season, m.half,
           a.team, a.goals, a.own_goals,
           case when m.score_a = m.score_b then 'D'
                when (m.score_a > m.score_b) = (a.team = 'A') then 'W'
                else 'L' end as result
    from league.appearances a
    join league.matches m using (match_id)
) as appearance;

-- Power rating: after every match the rating moves towards the performance by 1 - 2^(-1/10), so that
-- the weight of a performance halves in ten matches (the half-life); a player starts at 1.5.
-- An aggregate, because the closed form overflows after ten thousand matches.
create or replace function league.move_power_rating(rating double precision, performance double precision)
returns double precision
language plpgsql immutable strict parallel safe
as $$
begin
    return rating + (1 - 2 ^ (-1.0::double precision / 10)) * (performance - rating);
end
$$;

create or replace aggregate league.power_rating(performance double precision) (
    sfunc = league.move_power_rating,
    stype = double precision,
    initcond = '1.5',
    parallel = safe
);

-- Results. They are computed from the tables above and hold no references to them: a million checks
-- per refresh would protect rows that the next refresh replaces.

create table if not exists league.season_stats (
    season         integer not null,
    player_id      integer not null,
    games_played   integer not null,
    wins           integer not null,
    draws          integer not null,
    losses         integer not null,
    goals          integer not null,
    win_percentage numeric(5, 2) not null,
    points         integer not null,
    primary key (season, player_id)
);

create table if not exists league.half_season_stats (
    season         integer not null,
    half           integer not null,
    player_id      integer not null,
    games_played   integer not null,
    wins           integer not null,
    draws          integer not null,
    losses         integer not null,
    goals          integer not null,
    win_percentage numeric(5, 2) not null,
    points         integer not null,
    primary key (season, half, player_id)
);

create table if not exists league.all_time_stats (
    player_id      integer primary key,
    games_played   integer not null,
    wins           integer not null,
    draws          integer not null,
    losses         integer not null,
    goals          integer not null,
    win_percentage numeric(5, 2) not null
);

create table if not exists league.hall_of_fame (
    category  text not null check (category in ('games_played', 'goals', 'win_percentage')),
    rank      integer not null,
    player_id integer not null,
    value     numeric not null,
    primary key (category, rank)
);

create table if not exists league.recent_performance (
    player_id       integer primary key,
    games_played    integer not null,
    results         text not null,        -- newest first, for example 'WWDLW'
    points          integer not null,
    goals           integer not null,
    goals_per_match integer[] not null,   -- newest first
    match_ids       integer[] not null    -- newest first
);

create table if not exists league.honour_roll (
    season         integer not null,
    honour         text not null
                       check (honour in ('winner', 'top_scorer', 'biggest_win', 'longest_streak')),
    player_id      integer,               -- null for the biggest win, which is a team's
    value          integer not null,      -- points, goals, margin or matches
    first_match_id integer,               -- of the streak
    match_id       integer not null,      -- in which the value was reached
    primary key (season, honour)
);

create table if not exists league.match_report (
    position  integer primary key,
    match_id  integer not null,
    kind      text not null,
    player_id integer,                    -- null for the result, which is a team's
    team      text,                       -- null for a draw
    value     integer not null
);

create table if not exists league.personal_bests (
    player_id                    integer primary key,
    best_match_id                integer,
    best_match_goals             integer not null,
    longest_win_streak           integer not null,
    win_streak_first_match_id    integer,
    win_streak_last_match_id     integer,
    longest_scoring_streak       integer not null,
    scoring_streak_first_match_id integer,
    scoring_streak_last_match_id integer
);

create table if not exists league.player_profile_stats (
    player_id          integer primary key,
    games_played       integer not null,
    wins               integer not null,
    draws              integer not null,
    losses             integer not null,
    goals              integer not null,
    own_goals          integer not null,
    points             integer not null,
    win_percentage     numeric(5, 2) not null,
    seasons_played     integer not null,
    first_match_id     integer not null,
    last_match_id      integer not null,
    best_season        integer not null,
    best_season_points integer not null,
    best_season_goals  integer not null
);

create table if not exists league.player_profile_team_mates (
    player_id      integer not null,
    rank           integer not null,
    team_mate_id   integer not null,
    games_together integer not null,
    primary key (player_id, rank)
);

create table if not exists league.season_race_data (
    season       integer not null,
    player_id    integer not null,
    date         date not null,
    points       integer not null,        -- of the season, up to and including this date
    games_played integer not null,        -- likewise
    primary key (season, player_id, date)
);

create table if not exists league.player_power_rating (
    player_id     integer primary key,
    rating        double precision not null,
    games_played  integer not null,
    last_match_id integer not null
);

create table if not exists league.player_power_rating_per_match (
    player_id   integer not null,
    match_id    integer not null,
    performance integer not null,
    rating      double precision not null,   -- after this match
    primary key (player_id, match_id)
);

-- How each function went in each job: what a retry need not run again.
create table if not exists league.stats_runs (
    job_id      uuid not null,
    function    text not null,
    status      text not null check (status in ('running', 'completed', 'failed')),
    started_at  timestamptz not null default now(),
    duration_ms double precision,
    rows        bigint,
    error       text,
    primary key (job_id, function)
);
