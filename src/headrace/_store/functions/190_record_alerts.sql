-- Takes note of what was found wrong, and writes the messages that are due: one when it has lasted for as long as its rule asks,
-- one more every `repeat_s`, and one when it has not been found for `calm_s`. Answers how many messages it wrote. Who comes while
-- somebody else is at it does nothing: the next look is soon.
--
-- rules: [{name, destinations, severity, lasting_s}], those that were judged; what others found is left alone.
-- findings: [{rule, subject, detail}]
create or replace function headrace.record_alerts(
    rules jsonb, findings jsonb, repeat_s double precision, calm_s double precision, moment timestamptz default null
) returns integer
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    at timestamptz := coalesce(moment, now());
    written integer;
begin
    if not pg_try_advisory_xact_lock(headrace.lock_key(), 190) then
        return 0;
    end if;
    insert into headrace.alert as a (rule, subject, detail, since, seen_at)
    select distinct on (f.rule, f.subject) f.rule, f.subject, f.detail, at, at
    from jsonb_to_recordset(findings) as f(rule text, subject text, detail text)
    on conflict (rule, subject) do update set detail = excluded.detail, seen_at = excluded.seen_at;

    with judged as (
        select r.name, r.destinations, r.severity, make_interval(secs => r.lasting_s) as lasting
        from jsonb_to_recordset(rules) as r(name text, destinations text[], severity text, lasting_s double precision)
    ), told as (
        update headrace.alert a
        set raised_at = coalesce(a.raised_at, at), told_at = at
        from judged j
        where a.rule = j.name and a.seen_at = at
          and case when a.raised_at is null then a.since <= at - j.lasting
                   else a.told_at <= at - make_interval(secs => repeat_s) end
        returning case when a.raised_at = at then 'raised' else 'repeated' end as kind,
                  a.rule, a.subject, a.detail, a.since, j.severity, j.destinations
    ), over as (
        delete from headrace.alert a
        using judged j
        where a.rule = j.name and a.seen_at < at
          and (a.raised_at is null or a.seen_at <= at - make_interval(secs => calm_s))
        returning 'recovered' as kind, a.rule, a.subject, a.detail, a.since, j.severity, j.destinations, a.raised_at
    )
    insert into headrace.alert_message (destination, kind, rule, subject, detail, severity, since, created_at, next_at)
    select d.destination, m.kind, m.rule, m.subject, m.detail, m.severity, m.since, at, at
    from (select kind, rule, subject, detail, since, severity, destinations from told
          union all
          select kind, rule, subject, detail, since, severity, destinations from over where raised_at is not null) m
    cross join unnest(m.destinations) as d(destination);
    get diagnostics written = row_count;

    delete from headrace.alert a where a.seen_at < at - interval '7 days'; -- of rules that nobody declares any more
    delete from headrace.alert_message m where m.created_at < at - interval '1 day'; -- nobody knows the destination
    return written;
end
$$;
