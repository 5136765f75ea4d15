-- How far the counting of what ended is, and the time.
select l.looked_ats[1] as counted_until, l.began_at, now() as now from headrace.rollup_look l
