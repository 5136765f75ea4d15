-- Gates that say nothing that a new one would not say: of limits that are gone, or of keys that are idle. Under the lock of the
-- limited claim, which is the only one to change gates.
with turn as materialized (
    select pg_try_advisory_xact_lock(headrace.lock_key(), 5) as mine
)
delete from headrace.flow_gate where (limit_id, key) in (
    select g.limit_id, g.key
    from headrace.flow_gate g left join headrace.flow_limit m on m.id = g.limit_id
    where (select mine from turn)
      and (m.id is null or (m.kind in ('concurrency', 'rate') and g.held = 0
                            and g.tat_us < extract(epoch from coalesce(%(now)s::timestamptz, now())) * 1000000))
    limit %(chunk)s)
