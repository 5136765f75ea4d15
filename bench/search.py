"""How long searches take beside ten million finished and one million open jobs.

python -m bench.search [--finished N] [--open N] [--rounds N] [--folder DIR] [--out FILE]

The folder keeps the data for the next run with the same sizes; without it, everything is made anew and removed. Each
search is asked for `--rounds` times through the app, warm; the table has the median, the 95th percentile, and what the
search says that it has searched. The first ones are the default views and what summaries and indexes are for.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import psycopg

from headrace import Headrace
from headrace._store.embedded import EmbeddedServer
from headrace._store.migrate import migrate

DAYS = 6
NAMES = (
    "mail.send", "mail.send", "mail.send", "mail.digest", "billing.charge", "billing.charge", "billing.refund",
    "search.index", "search.index", "media.preview", "stats.update", "stats.update",
)  # fmt: skip
TASKS = "(array[{}])[1 + n %% {}]".format(", ".join(f"'{name}'" for name in NAMES), len(NAMES))
COMMON = f"""
    case when n %% 100000 = 7 then 'rare.task' else {TASKS} end,
    case when n %% 100000 = 9 then 'rare' else split_part({TASKS}, '.', 1) end,
    jsonb_build_object('customer', n %% 5000, 'email', 'user' || n %% 77777 || '@example.com',
                       'amount', (n %% 1000) / 10.0),
    'tenant' || n %% 200, case when n %% 10 = 0 then 'request-' || n end,
    case when n %% 50 = 0 then array['vip'] end,
    case when n %% 20 = 0 then jsonb_build_object('region', 'eu' || n %% 4) end
"""
LIBRARY = (
    r"  File \"/usr/lib/python3.12/site-packages/httpx/_client.py\", line 827, in request\n    return self.send()\n"
)
TRACE = rf"""
    E'Traceback (most recent call last):\n  File "/srv/shop/jobs/' || split_part({TASKS}, '.', 1)
    || E'.py", line ' || 10 + n %% 3 || E', in handle\n    client.get(url)\n' || repeat(E'{LIBRARY}', 8)
    || E'httpx.ReadTimeout: timed out after ' || n %% 60 || ' s'
"""
FINISHED = f"""
insert into headrace.job_history (
    id, state, retention, bounded, finished_at, claimed_at, created_at, worker_id, run, priority, attempts,
    max_attempts, task, queue, args, tenant, correlation_id, tags, metadata, result, error)
select id, state, case when state = 'failed' then 'long' else 'normal' end::headrace.retention, false,
       now() - age, now() - age - interval '20 ms', now() - age - interval '1 second', 1 + n %% 8, 1,
       (n %% 3)::smallint, 1, 5, {COMMON}, to_jsonb(n %% 100),
       case when state = 'failed' then jsonb_build_object(
           'kind', 'exception', 'type', (array['httpx.ReadTimeout', 'ValueError', 'KeyError'])[1 + n %% 3],
           'message', 'timed out after ' || n %% 60 || ' s', 'traceback', {TRACE}) end
from (
    select n, age, uuidv7(-age - interval '1 second') as id,
           (case when n %% 200 = 3 then 'failed' when n %% 1000 = 4 then 'cancelled'
                 else 'succeeded' end)::headrace.job_state as state
    from generate_series(%(first)s::integer, %(last)s::integer) n
    cross join lateral (
        select interval '{DAYS} days' * (1 - n::float8 / %(all)s) + interval '1 minute' as age) a) g
"""
OPEN = f"""
insert into headrace.job (
    id, state, position, created_at, run_at, worker_id, claimed_at, run, max_attempts, blocked_by, priority,
    task, queue, args, tenant, correlation_id, tags, metadata)
select uuidv7(-age), k.state::headrace.job_state,
       case when k.state in ('queued', 'running') then nextval('headrace.job_position') end, now() - age,
       now() + case when k.state = 'scheduled' then interval '1 day' * random() else -age end,
       case when k.state = 'running' then 1 else 0 end,
       case when k.state = 'running' then now() else '-infinity' end,
       (k.state = 'running')::integer, 5, case when k.state = 'blocked' then 'parents' end, (n %% 3)::smallint, {COMMON}
from generate_series(1, %(all)s::integer) n
cross join lateral (select interval '2 hours' * (1 - n::float8 / %(all)s) + interval '1 second' as age) a
cross join lateral (
    select case when n <= 200 then 'running' when n %% 10 = 0 then 'scheduled' when n %% 40 = 1 then 'blocked'
                else 'queued' end as state) k
"""
CHUNK = 500_000
WARM_UP = 3
DEFAULT_VIEWS = (
    "", "state:queued", "state:scheduled", "state:blocked", "state:succeeded", "state:failed", "state:cancelled",
    "state:failed,cancelled", "queue:mail", "task:billing.charge", "task:billing.*", "state:failed task:mail.send",
    "state:succeeded queue:media", "tenant:tenant7", "state:succeeded tenant:tenant7", "state:failed tenant:tenant7",
    "state:succeeded correlation:request-5000000", "state:succeeded task:rare.task", "state:succeeded queue:rare",
    "created>-1h", "finished:-3d..-2d", "state:failed error~timed",
)  # fmt: skip
OTHERS = (
    "state:running", "task:rare.task", "correlation:request-5000000", "args.customer=42",
    "state:succeeded args.customer=42",
    'state:failed args.customer=43 error~"timed out"', "tag:vip args.amount>99.8", 'args.email:"user7@example.com"',
    "state:succeeded result=999", "meta.region=nowhere", "args.email~nowhere",
)  # fmt: skip


def seed(url: str, finished: int, unfinished: int) -> None:
    """Rows straight into the tables."""
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute("set synchronous_commit to off")
        conn.execute(f"select headrace.create_partitions(current_date - {DAYS + 1}, current_date)".encode())
        for first in range(1, finished + 1, CHUNK):
            last = min(first + CHUNK - 1, finished)
            conn.execute(FINISHED.encode(), {"first": first, "last": last, "all": finished})
        conn.execute(OPEN.encode(), {"all": unfinished})
        conn.execute("vacuum (analyze)")


async def times(rounds: int, ask: Callable[[], Awaitable[Any]]) -> tuple[list[float], Any]:
    """Seconds of each round behind the first ones, which warm it up, and the last answer."""
    taken = []
    for _ in range(rounds + WARM_UP):
        start = time.perf_counter()
        answer = await ask()
        taken.append(time.perf_counter() - start)
        if getattr(answer, "partial", False) and len(taken) >= WARM_UP + 3:
            break  # it takes as long as it may
    return taken[WARM_UP:], answer


def line(what: str, taken: list[float], said: str) -> str:
    ordered = sorted(taken)
    p95 = ordered[min(len(ordered) - 1, int(len(ordered) * 0.95))]
    return f"| `{what}` | {statistics.median(ordered) * 1000:.1f} | {p95 * 1000:.1f} | {said} |"


async def measure(url: str, rounds: int) -> list[str]:
    lines = []
    async with Headrace(url) as app:
        for title, filters in (("default views and indexed filters", DEFAULT_VIEWS), ("any other filter", OTHERS)):
            lines += ["", f"| {title} | p50 ms | p95 ms | found, and searched |", "|---|---:|---:|---|"]
            for text in filters:
                taken, page = await times(rounds, lambda text=text: app.search.jobs(text))  # type: ignore[misc]
                said = f"{len(page.jobs)} in {page.searched}" + ("; partial" if page.partial else "")
                lines.append(line(text, taken, said))
                print(lines[-1], flush=True)
        lines += ["", "| other | p50 ms | p95 ms | answer |", "|---|---:|---:|---|"]
        for text in ("", "state:failed", "state:queued", "args.customer=42"):
            taken, count = await times(rounds, lambda text=text: app.search.count(text))  # type: ignore[misc]
            lines.append(line(f"count {text}", taken, str(count)))
            print(lines[-1], flush=True)
        taken, groups = await times(rounds, app.search.failures)
        lines.append(line("failures", taken, f"{len(groups)} groups of {groups.searched}"))
        taken, offered = await times(rounds, lambda: app.search.complete("task:"))
        lines.append(line("complete task:", taken, f"{len(offered)} offered"))
        page = await app.search.jobs("state:succeeded")
        for _ in range(20):
            page = await app.search.jobs("state:succeeded", after=page.after)
        after = page.after
        taken, page = await times(rounds, lambda: app.search.jobs("state:succeeded", after=after))
        lines.append(line("page 22 of state:succeeded", taken, f"{len(page.jobs)} jobs"))
        print("\n".join(lines[-3:]))
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--finished", type=int, default=10_000_000)
    parser.add_argument("--open", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--out", type=Path)
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
                print(f"seeded in {time.monotonic() - started:.0f} s", flush=True)
            if arguments.rounds:
                lines = asyncio.run(measure(server.url, arguments.rounds))
                if arguments.out:
                    arguments.out.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
