-- With a beat: only if the lease has not beaten since it was observed; its worker is noted as lost. Waits for the worker's claim in
-- flight, if any.
with ended as (
    delete from headrace.worker
    where id = %(worker_id)s and (%(beat)s::bigint is null or beat = %(beat)s::bigint)
    returning id, host, pid
), lost as (
    insert into headrace.lost_worker (worker_id, host, pid)
    select e.id, e.host, e.pid from ended e where %(beat)s::bigint is not null
    on conflict do nothing
), forgotten as (
    delete from headrace.lost_worker l where l.lost_at < now() - interval '30 days' and %(beat)s::bigint is not null
)
select e.id from ended e
