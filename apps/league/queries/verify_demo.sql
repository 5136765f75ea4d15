-- What the demo promises, each with what is wrong about it (null: nothing).
select 'the job', (select 'is ' || coalesce(min(state::text), 'missing') from headrace.jobs where id = %(job_id)s
                   having coalesce(min(state::text), 'missing') <> 'succeeded')
union all
select 'all_time_stats', (
    select format('counts %%s games and %%s goals, the matches have %%s and %%s', s.games, s.goals, a.games, a.goals)
    from (select sum(games_played) as games, sum(goals) as goals from league.all_time_stats) s,
         (select count(*) as games, sum(goals) as goals from league.appearances) a
    where (s.games, s.goals) is distinct from (a.games, a.goals))
union all
select 'player_power_rating', (
    select format('rates %%s players, %%s have appeared', s.rated, a.appeared)
    from (select count(*) as rated from league.player_power_rating) s,
         (select count(distinct player_id) as appeared from league.appearances) a
    where s.rated <> a.appeared)
union all
select 'match_report', (
    select 'is not about the match that was played'
    where not exists (
        select from league.match_report r
        where r.match_id = (select (args ->> 'match_id')::integer from headrace.jobs where id = %(job_id)s)))
