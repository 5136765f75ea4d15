select schedule, tenant
from headrace.release_waiting_ticks(%(after_schedule)s, %(after_tenant)s, %(chunk)s, %(now)s::timestamptz)
