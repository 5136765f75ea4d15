-- Ends the lease of a worker that its guardian saw die, and notes it as lost.
with ended as (
    delete from headrace.worker where id = %(worker_id)s returning id, host, pid
), lost as (
    insert into headrace.lost_worker (worker_id, host, pid)
    select e.id, e.host, e.pid from ended e
    on conflict do nothing
)
select e.id from ended e
