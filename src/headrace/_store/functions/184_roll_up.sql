-- Counts what has ended since the last look of this kind: each row of job_history and attempt once, whatever number of workers call
-- this, and whenever the row's transaction commits. Answers how many things it counted; null if it was not due, or if another worker is
-- at it. `kind` numbers the looks: 1 is the most frequent. A look goes back to `margin` before the last one of its kind.
--
-- *The protocol.* Rows carry when they ended, which is when their transaction began: it may commit a millisecond later, or, where a
-- handler wrote in the same transaction, minutes later. So "counted up to this moment" proves nothing. What was counted is told by
-- snapshots: rollup_seen says, for each part of time, "of what ended here, everything that this snapshot sees". A look takes all that
-- ended since `low`, leaves out what the snapshot of its part saw, adds up the rest, and puts its own snapshot in the place of those
-- parts. All of it is one transaction, under one lock and, from the second statement on, with a snapshot from after the lock: what is
-- counted and what is told to be counted commit together, or neither.
--
-- How far back a look goes bounds its cost, not what is counted twice: frequent looks go back a little, and less frequent ones further,
-- so that a row that commits d after it ended is counted within some multiple of d (see Timings, and _worker/rollups.py). One that
-- commits more than the largest margin later is never counted.
--
-- *From another database.* Transaction numbers mean nothing in a database that the rows were restored to. There, and at the very
-- beginning, all that is visible counts as counted, but for what ended after the last look.
-- *The beginning.* What had ended before the first look is counted backwards, an hour at a time (more where there is nothing), up to
-- `budget` in each call.
create or replace function headrace.roll_up(
    kind integer, period interval, margin interval, budget interval, at_moment timestamptz default null
) returns bigint
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    began constant timestamptz := clock_timestamp();
    moment constant timestamptz := coalesce(at_moment, began);
    own bigint;
    here text;
    nothing constant pg_snapshot := '1:1:';
    oldest constant timestamptz := moment - interval '90 days';
    look record;
    low timestamptz;
    said record;
    total bigint := 0;
    stride interval := '1 hour';
begin
    if (select l.looked_ats[kind] + period > moment from headrace.rollup_look l)
       or not pg_try_advisory_xact_lock(headrace.lock_key(), 184) then
        return null;
    end if;
    -- Only who has the lock changes the row, so it is read without one.
    select l.source, l.looked_ats, l.began_at, l.began_with into look from headrace.rollup_look l;
    own := pg_current_xact_id()::text::bigint;
    here := (select c.system_identifier from pg_control_system() c) || ' '
            || (select d.oid from pg_database d where d.datname = current_database());
    if look.source is distinct from here then
        delete from headrace.rollup_seen;
        insert into headrace.rollup_seen (from_at, snapshot) values ('-infinity', pg_current_snapshot());
        insert into headrace.rollup_seen (from_at, snapshot) select look.looked_ats[1], nothing where look.looked_ats[1] is not null;
        -- After the snapshot, so that whatever it sees ended before.
        look.began_at := coalesce(look.began_at, greatest(moment, clock_timestamp()));
        look.began_with := case when look.source is null then (select s.snapshot from headrace.rollup_seen s where s.from_at = '-infinity') end;
        update headrace.rollup_look set source = here, began_at = look.began_at, began_with = look.began_with;
    elsif look.looked_ats[kind] + period > moment then
        return null;
    end if;
    low := coalesce(look.looked_ats[kind], look.looked_ats[1], moment) - margin;
    said := headrace.count_ended(low, 'infinity', null, coalesce((select max(l) from unnest(look.looked_ats) l), '-infinity'),
                                 moment, own);
    total := said.counted;
    delete from headrace.rollup_seen s where s.from_at >= low;
    insert into headrace.rollup_seen (from_at, snapshot) values (low, said.taken);
    update headrace.rollup_look set looked_ats[kind] = moment;
    -- Parts that no look will come to again are one with all before them.
    update headrace.rollup_seen s set snapshot = o.snapshot
    from (select x.snapshot from headrace.rollup_seen x where x.from_at < low - interval '10 days' order by x.from_at desc limit 1) o
    where s.from_at = '-infinity';
    delete from headrace.rollup_seen s where s.from_at < low - interval '10 days' and s.from_at <> '-infinity';

    while look.began_with is not null and look.began_at > oldest and clock_timestamp() < began + budget loop
        said := headrace.count_ended(look.began_at - stride, look.began_at, look.began_with, '-infinity', moment, own);
        total := total + said.counted;
        look.began_at := look.began_at - stride;
        stride := case when said.counted > 0 then interval '1 hour' else least(stride * 2, interval '1 day') end;
        update headrace.rollup_look set began_at = look.began_at, began_with = case when look.began_at > oldest then look.began_with end;
    end loop;
    return total;
end
$$;
