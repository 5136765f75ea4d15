select headrace.hand_back_unheld(%(worker_id)s::bigint, %(held)s::uuid[])::text
