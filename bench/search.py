"""How long searches take beside ten million finished and one million open jobs.

python -m bench.search [--finished N] [--open N] [--rounds N] [--folder DIR]

The folder keeps the data for the next run with the same sizes; without it, everything is made anew and removed. Each search is
asked for `--rounds` times through the app, warm; the table has the median, the 95th percentile, and what it says it searched.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import psycopg

from headrace._store.embedded import EmbeddedServer
from headrace._store.migrate import migrate

DAYS = 6
TASKS = "(array['mail.send', 'mail.send', 'mail.send', 'mail.digest', 'billing.charge', 'billing.charge', 'billing.refund', 'search.index', 'search.index', 'media.preview', 'stats.update', 'stats.update'])[1 + n %% 12]"
COMMON = f"""
    case when n %% 100000 = 7 then 'rare.task' else {TASKS} end,
    case when n %% 100000 = 9 then 'rare' else split_part({TASKS}, '.', 1) end,
    jsonb_build_object('customer', n %% 5000, 'email', 'user' || n %% 77777 || '@example.com', 'amount', (n %% 1000) / 10.0),
    'tenant' || n %% 200, case when n %% 10 = 0 then 'request-' || n end,
    case when n %% 50 = 0 then array['vip'] end, case when n %% 20 = 0 then jsonb_build_object('region', 'eu' || n %% 4) end
"""
TRACE = r"""E'Traceback (most recent call last):\n  File "/srv/shop/jobs/' || {task} || E'.py", line ' || 10 + n %% 3 || E', in handle\n    client.get(url)\n  File "/usr/lib/python3.12/site-packages/httpx/_client.py", line 1054, in get\n    return self.request()\n' || repeat(E'  File "/usr/lib/python3.12/site-packages/httpx/_client.py", line 827, in request\n    return self.send(request)\n', 8) || E'httpx.ReadTimeout: timed out after ' || n %% 60 || ' s'"""

FINISHED = """
insert into headrace.job_history (
    id, state, retention, bounded, finished_at, claimed_at, created_at, worker_id, run, priority, attempts, max_attempts,
    task, queue, args, tenant, correlation_id, tags, metadata, result, error)
select id, state, case when state = 'failed' then 'long' else 'normal' end::headrace.retention, false,
       now() - age, now() - age - interval '20 ms', now() - age - interval '1 second', 1 + n %% 8, 1, (n %% 3)::smallint, 1, 5,
       {common}, to_jsonb(n %% 100), case when state = 'failed' then jsonb_build_object(
           'kind', 'exception', 'type', (array['httpx.ReadTimeout', 'ValueError', 'KeyError'])[1 + n %% 3],
           'message', 'timed out after ' || n %% 60 || ' s', 'traceback', {trace}) end
from (
    select n, age, uuidv7(-age - interval '1 second') as id,
           (case when n %% 200 = 3 then 'failed' when n %% 1000 = 4 then 'cancelled' else 'succeeded' end)::headrace.job_state as state
    from generate_series(%(first)s::integer, %(last)s::integer) n
    cross join lateral (select interval '{days} days' * (1 - n::float8 / %(all)s) + interval '1 minute' as age) a) g
"""
OPEN = """
insert into headrace.job (
    id, state, position, created_at, run_at, worker_id, claimed_at, run, max_attempts, blocked_by, priority,
    task, queue, args, tenant, correlation_id, tags, metadata)
select uuidv7(-age), k.state::headrace.job_state,
       case when k.state in ('queued', 'running') then nextval('headrace.job_position') end, now() - age,
       now() + case when k.state = 'scheduled' then interval '1 day' * random() else -age end,
       case when k.state = 'running' then 1 else 0 end, case when k.state = 'running' then now() else '-infinity' end,
       (k.state = 'running')::integer, 5, case when k.state = 'blocked' then 'parents' end, (n %% 3)::smallint,
       {common}
from generate_series(1, %(all)s::integer) n
cross join lateral (select interval '2 hours' * (1 - n::float8 / %(all)s) + interval '1 second' as age) a
cross join lateral (select case when n <= 200 then 'running' when n %% 10 = 0 then 'scheduled' when n %% 40 = 1 then 'blocked'
                                else 'queued' end as state) k
"""
CHUNK = 500_000


def seed(url: str, finished: int, unfinished: int) -> None:
    """Rows straight into the tables."""
    fields = {"common": COMMON, "days": DAYS, "trace": TRACE.format(task=f"split_part({TASKS}, '.', 1)")}
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute("set synchronous_commit to off")
        conn.execute(f"select headrace.create_partitions(current_date - {DAYS + 1}, current_date)")
        for first in range(1, finished + 1, CHUNK):
            last = min(first + CHUNK - 1, finished)
            conn.execute(FINISHED.format(**fields), {"first": first, "last": last, "all": finished})
        conn.execute(OPEN.format(**fields), {"all": unfinished})
        conn.execute("vacuum (analyze)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--finished", type=int, default=10_000_000)
    parser.add_argument("--open", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--folder", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="headrace-search-") as own:
        folder = arguments.folder or Path(own)
        folder.chmod(0o755)
        with EmbeddedServer.start(folder / "server") as server:
            with psycopg.connect(server.url, autocommit=True) as conn:
                known = conn.execute("select to_regclass('headrace.job')::text").fetchone()
            if known == (None,):
                migrate(server.url)
                started = time.monotonic()
                seed(server.url, arguments.finished, arguments.open)
                print(f"seeded in {time.monotonic() - started:.0f} s")
            print(server.url, flush=True)
            input("enter to stop")


if __name__ == "__main__":
    main()
