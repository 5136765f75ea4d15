-- Ends a pause; answers whether there was one. Workers of the queue are told; of all queues, they find out by looking.
with ended as (
    delete from headrace.pause where queue = %(queue)s returning queue, coalesce(until > now(), true) as lasted
)
select e.lasted, headrace.wake_queues(array[e.queue]) from ended e
