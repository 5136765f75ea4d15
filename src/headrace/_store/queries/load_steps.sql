select ordinal, kind, name, run, outcome, result, left_s
from headrace.load_steps(%(id)s::uuid, coalesce(%(now)s::timestamptz, now()))
