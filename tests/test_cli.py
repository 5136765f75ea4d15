"""The command line, as its users see it: what it prints, and the status it ends with."""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import psycopg
import pytest
import typer
from psycopg import sql

import headrace
from headrace import ConfigurationError, Headrace, Workflow, group, previous
from headrace.cli import DEBUG, main
from headrace.cli.enqueue import read_arguments
from headrace.cli.options import read_duration
from headrace.cli.output import show_duration

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator
    from contextlib import AbstractContextManager


REPOSITORY = Path(__file__).parents[1]
TARGET = "tests.cli_app:app"
NOBODYS_ID = "01900000-0000-7000-8000-000000000000"
TABLES = (
    "job",
    "job_history",
    "attempt",
    "job_log",
    "job_progress",
    "payload",
    "enqueue_key",
    "step",
    "event",
    "queue",
    "task",
    "worker",
    "schedule",
    "schedule_due",
    "schedule_code",
    "tick",
    "workflow",
    "workflow_node",
    "dependency",
    "workflow_change",
    "pause",
    "deploy",
    "operation",
)
LIST_KEYS = {
    "id", "state", "task", "queue", "priority", "attempts", "max_attempts", "created_at", "run_at", "claimed_at",
    "finished_at", "error", "tenant",
}  # fmt: skip


@dataclass(frozen=True)
class Ran:
    """What a command did."""

    status: int
    out: str
    err: str

    @property
    def message(self) -> str:
        """What it said on standard error, without the line breaks of a box."""
        return " ".join(self.err.replace("│", " ").split())

    def json(self) -> Any:
        assert self.status == 0, self.err
        return json.loads(self.out)


class Run(Protocol):
    def __call__(self, *words: str) -> Ran: ...


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs `headrace` with these words in this process, piped and without a terminal."""
    monkeypatch.setenv(DEBUG, "")
    for name in ("FORCE_COLOR", "HEADRACE_URL", "HEADRACE_DATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "200")

    def run_words(*words: str) -> Ran:
        monkeypatch.setattr(sys, "argv", ["headrace", *words])
        sys.modules.pop("tests.cli_app", None)  # a command closes the app that it imports
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        return Ran(int(ended.value.code or 0), printed.out, printed.err)

    return run_words


@pytest.fixture(scope="module")
def shared_url(lend_database: Callable[[], AbstractContextManager[str]]) -> Iterator[str]:
    """A migrated database for the commands of this file: most need one, and making it takes longer than they do."""
    with lend_database() as url:
        yield url


@pytest.fixture
def url(shared_url: str) -> Iterator[str]:
    """The shared database, empty."""
    yield shared_url
    with psycopg.connect(shared_url, autocommit=True) as conn:
        for table in TABLES:
            conn.execute(sql.SQL("delete from headrace.{}").format(sql.Identifier(table)))


@pytest.fixture
def here(run: Run, url: str, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs `headrace` with an empty, migrated database."""
    monkeypatch.setenv("HEADRACE_URL", url)
    return run


def with_app(work: Callable[[Headrace], Coroutine[Any, Any, Any]]) -> Any:
    """Do something with a new copy of the tests' app."""
    sys.modules.pop("tests.cli_app", None)
    app = importlib.import_module("tests.cli_app").app

    async def run() -> Any:
        async with app:
            return await work(app)

    return asyncio.run(run())


def work_off() -> None:
    """Run everything that is queued, here."""
    with_app(lambda app: app.drain(listen=False))


def enqueue(run: Run, *words: str) -> str:
    """The id of a new job."""
    return str(run("enqueue", TARGET, *words, "--json").json()["id"])


def state_of(run: Run, job_id: str) -> str:
    """The state of a job, as `jobs show` has it."""
    return str(run("jobs", "show", job_id, "--json").json()["state"])


# -- the command itself --


def test_it_is_a_program_and_a_module() -> None:
    """`headrace` and `python -m headrace` are the same program, and say their version."""
    program = Path(sys.executable).with_name("headrace")
    for command in ([str(program)], [sys.executable, "-m", "headrace"]):
        answer = subprocess.run([*command, "--version"], capture_output=True, text=True, check=True)
        assert answer.stdout == f"headrace {headrace.__version__}\n"


def test_shells_can_complete_it() -> None:
    """A shell that asks what may follow "headrace jo" hears "jobs"."""
    asked = {"_HEADRACE_COMPLETE": "complete_bash", "COMP_WORDS": "headrace jo", "COMP_CWORD": "1"}
    answer = subprocess.run(
        [Path(sys.executable).with_name("headrace")],
        env=os.environ | asked, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "jobs" in answer.stdout


def test_errors_are_messages_and_debug_shows_where_they_come_from(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error ends in one line on standard error; with --debug it is raised as it is."""
    ran = run("worker", "tests.cli_app:ap")
    assert (ran.status, ran.out) == (2, "")
    assert ran.err == 'error: "tests.cli_app" has no "ap". Did you mean "app"?\n'
    monkeypatch.setattr(sys, "argv", ["headrace", "--debug", "worker", "tests.cli_app:ap"])
    with pytest.raises(ConfigurationError):
        main()


# -- naming the app --


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("tests.cli_app", "does not name an app: write MODULE:APP"),
        ("tests/cli_app.py:app", "does not name an app: write MODULE:APP"),
        ("tests.cli_ap:app", 'there is no module "tests.cli_ap" in'),
        ("nowhere.at_all:app", 'there is no module "nowhere" in'),
        ("tests.cli_app:appp", '"tests.cli_app" has no "appp". Did you mean "app"?'),
        ("tests.cli_app:not_an_app", "is of type int, not a Headrace. Known: app."),
        ("json:dumps", "No variable of it is a Headrace"),
    ],
)
def test_a_wrong_target_is_explained(run: Run, target: str, message: str) -> None:
    """What does not lead to an app is refused with what was found instead, as wrong use."""
    ran = run("enqueue", target, "add")
    assert ran.status == 2
    assert message in ran.err


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("import no_such_library", "ModuleNotFoundError: No module named 'no_such_library'"),
        ("\n1 / 0", "ZeroDivisionError: division by zero"),
        ("raise SystemExit(3)", "ended the program"),
    ],
)
def test_a_module_that_does_not_import_is_explained(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, message: str
) -> None:
    """An error in the app's own module is told apart from a module that is not there, and says where it happened."""
    (tmp_path / "broken_shop.py").write_text(source)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path[:])
    ran = run("worker", "broken_shop:app")
    assert ran.status == 2
    assert 'importing "broken_shop"' in ran.err
    assert message in ran.err


# -- naming the database --


def test_without_a_database_nothing_is_created(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Looking without a URL, where no embedded server was ever started, says what to do and makes no directory."""
    monkeypatch.chdir(tmp_path)
    ran = run("jobs", "list")
    assert ran.status == 1
    assert "no database: give --url, or set HEADRACE_URL" in ran.err
    assert list(tmp_path.iterdir()) == []


def test_a_url_of_another_database_system_is_wrong_use(run: Run) -> None:
    """A URL that is not PostgreSQL's is refused with the right form."""
    ran = run("workers", "--url", "mysql://root:secret@localhost/shop")
    assert ran.status == 2
    assert "is not a PostgreSQL URL: write postgresql://" in ran.err
    assert "secret" not in ran.err


def test_a_server_that_does_not_answer_is_named_without_its_password(run: Run) -> None:
    """A refused connection names the server and the reason, and keeps the password."""
    ran = run("queues", "--url", "postgresql://me:secret@127.0.0.1:1/shop")
    assert ran.status == 1
    assert "cannot connect to postgresql://me:***@127.0.0.1:1/shop" in ran.err
    assert "secret" not in ran.err


@pytest.mark.parametrize("words", [("jobs", "list"), ("queues",), ("workers",), ("enqueue", TARGET, "add", "a=1")])
def test_an_unmigrated_database_names_the_command(
    run: Run, empty_database: str, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    """Without the schema, every command says which one to run."""
    monkeypatch.setenv("HEADRACE_URL", empty_database)
    ran = run(*words)
    assert ran.status == 1
    assert ran.err == 'error: the database has no schema "headrace": run `headrace migrate`\n'


# -- migrate --


def test_migrate_plans_applies_and_verifies(run: Run, empty_database: str) -> None:
    """--plan changes nothing; migrate applies what it said; then there is nothing to do, and --verify finds nothing."""
    where = ("--url", empty_database, "--schema", "shop")
    planned = run("migrate", "--plan", *where)
    assert planned.status == 0
    assert "migration 0001_initial would be applied" in planned.out
    assert run("migrate", "--verify", *where).status == 1
    applied = run("migrate", *where)
    assert 'schema "shop": version 0 → ' in applied.out
    assert "migration 0001_initial applied" in applied.out
    assert "is up to date" in run("migrate", *where).out
    verified = run("migrate", "--verify", *where)
    assert (verified.status, verified.err) == (0, "")


def test_migrate_speaks_json(run: Run, empty_database: str) -> None:
    """--json gives one document, with the same keys whatever was asked and done."""
    keys = {"schema", "done", "current", "target", "pending", "functions_differ", "up_to_date"}
    for words, done in ((["--plan"], "planned"), ([], "applied"), (["--repair"], "repaired")):
        document = run("migrate", *words, "--url", empty_database, "--json").json()
        assert set(document) == keys
        assert document["done"] == done
    assert run("migrate", "--verify", "--url", empty_database, "--json").json() == {
        "schema": "headrace",
        "problems": [],
    }


def test_a_function_changed_by_hand_is_found_and_repaired(
    run: Run, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """--verify names a function that somebody replaced and exits 1; --repair puts ours back."""
    monkeypatch.setenv("HEADRACE_URL", database)
    with psycopg.connect(database, autocommit=True) as conn:
        conn.execute(
            "create or replace function headrace.class_age(class headrace.retention) returns interval language sql "
            "as $$ select interval '1 day' $$"
        )
    found = run("migrate", "--verify")
    assert found.status == 1
    assert "function headrace.class_age was changed by hand: run `headrace migrate --repair`" in found.err
    assert run("migrate", "--repair").status == 0
    assert run("migrate", "--verify").status == 0


def test_repair_does_not_migrate(run: Run, empty_database: str) -> None:
    """--repair on a schema that is missing says that migrating is what it needs."""
    ran = run("migrate", "--repair", "--url", empty_database)
    assert ran.status == 1
    assert "run `headrace migrate`" in ran.err


def test_migrate_does_one_thing(run: Run) -> None:
    """Contradicting options are wrong use."""
    assert run("migrate", "--plan", "--verify").status == 2


# -- enqueue --


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        ([], ([], {})),
        (['{"a": 1, "b": [2]}'], ([], {"a": 1, "b": [2]})),
        (["[1, 2]"], ([1, 2], {})),
        (["a=1", 'b={"c": null}'], ([], {"a": 1, "b": {"c": None}})),
        (["name=Ada Lovelace", "code=007"], ([], {"name": "Ada Lovelace", "code": "007"})),
        (["formula=a=b"], ([], {"formula": "a=b"})),
        (['code="7"'], ([], {"code": "7"})),
    ],
)  # fmt: skip
def test_arguments_are_read(texts: list[str], expected: tuple[list[Any], dict[str, Any]]) -> None:
    """JSON objects, JSON arrays and name=value pairs become the task's arguments."""
    assert read_arguments(texts) == expected


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("add", '{"a": 1'), "the arguments are not JSON"),
        (("add", "5"), '"5" is no argument: write name=value'),
        (("add", "a=1", "a=2"), 'argument "a" is given twice'),
        (("ad", "a=1"), 'no task is named "ad". Did you mean "add"?'),
        (("add", "a=one"), 'task "add": argument "a": input should be a valid integer'),
        (("add", "c=1"), 'argument "c"'),
        (("add", "a=1", "--delay", "soon"), '"soon" is not a duration: write 30s, 5m, 1h30m or 2d'),
    ],
)
def test_what_cannot_be_enqueued_is_wrong_use(here: Run, words: tuple[str, ...], message: str) -> None:
    """A wrong task or wrong arguments are refused in words, and nothing is enqueued."""
    ran = here("enqueue", TARGET, *words)
    assert ran.status == 2
    assert message in ran.message
    assert here("jobs", "list", "--json").json() == []


def test_enqueue_prints_the_id(here: Run) -> None:
    """Piped, the id of the new job is all that is printed."""
    ran = here("enqueue", TARGET, "add", "a=1")
    assert ran.err == ""
    assert state_of(here, ran.out.strip()) == "queued"


def test_enqueue_takes_the_options_of_a_job(here: Run) -> None:
    """--delay, --queue and --priority are the job's."""
    work_off()  # until a worker has registered the task, nobody knows what of its arguments may be shown
    job_id = enqueue(here, "add", '{"a": 1}', "--delay", "1h", "--queue", "slow", "--priority", "7")
    job = here("jobs", "show", job_id, "--json").json()
    assert (job["state"], job["queue"], job["priority"], job["args"]) == ("scheduled", "slow", 7, {"a": 1})


def test_a_held_unique_key_is_said(here: Run) -> None:
    """A second job with an unfinished one's --unique key is that one, and the reader hears of it."""
    first = here("enqueue", TARGET, "add", "a=1", "--unique", "k")
    second = here("enqueue", TARGET, "add", "a=2", "--unique", "k")
    assert first.out == second.out
    assert "exists already" in second.err
    assert here("enqueue", TARGET, "add", "a=2", "--unique", "k", "--json").json()["existed"] is True


def test_waiting_ends_in_time(here: Run) -> None:
    """--wait --timeout gives up with status 1 when nobody runs the job."""
    ran = here("enqueue", TARGET, "add", "a=1", "--wait", "--timeout", "50ms")
    assert ran.status == 1
    assert "had not finished within 0.05 seconds; it goes on" in ran.err


# -- jobs list --


def test_jobs_are_listed_unfinished_first(here: Run) -> None:
    """Unfinished jobs come first, the newest on top; then finished ones, the last one on top."""
    finished = [enqueue(here, "add", "a=1")]
    work_off()
    finished.insert(0, enqueue(here, "add", "a=2"))
    work_off()
    waiting = [enqueue(here, "greet", "name=Ada"), enqueue(here, "add", "a=3", "--delay", "1h")]
    records = here("jobs", "list", "--json").json()
    assert [record["id"] for record in records] == [*reversed(waiting), *finished]
    assert all(set(record) == LIST_KEYS for record in records)
    lines = here("jobs", "list").out.splitlines()
    assert lines[0].split() == ["ID", "STATE", "TASK", "QUEUE", "ATTEMPTS", "WHEN", "ERROR"]
    assert [line.split()[0] for line in lines[1:]] == [record["id"] for record in records]


def test_jobs_can_be_picked(here: Run) -> None:
    """--state, --queue, --task and --limit choose among them; nothing found is no error."""
    added = enqueue(here, "add", "a=1")
    work_off()
    greeting, later = enqueue(here, "greet", "name=Ada"), enqueue(here, "add", "a=3", "--delay", "1h")

    def listed(*words: str) -> list[str]:
        return [record["id"] for record in here("jobs", "list", "--json", *words).json()]

    assert listed("--state", "succeeded") == [added]
    assert listed("--state", "queued", "--state", "scheduled") == [later, greeting]
    assert listed("--queue", "mail") == [greeting]
    assert listed("--task", "add") == [later, added]
    assert listed("--limit", "2") == [later, greeting]
    nothing = here("jobs", "list", "--state", "cancelled")
    assert (nothing.status, nothing.out, nothing.err) == (0, "", "no such job\n")


def test_a_state_that_does_not_exist_is_wrong_use(here: Run) -> None:
    """The states there are, are named."""
    ran = here("jobs", "list", "--state", "done")
    assert ran.status == 2
    assert "'succeeded'" in ran.err


def test_a_pipe_gets_plain_whole_lines_and_a_terminal_colours(here: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Piped, nothing is cut or coloured, whatever the width; on a terminal states have colours."""
    monkeypatch.setenv("COLUMNS", "40")
    queue = "q" * 90
    enqueue(here, "add", "a=1", "--queue", queue)
    piped = here("jobs", "list").out
    assert queue in piped.splitlines()[1]
    assert "\x1b" not in piped
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\x1b[36mqueued" in here("jobs", "list").out


def test_what_a_job_says_cannot_drive_the_terminal(here: Run) -> None:
    """Escape sequences in a job's error are shown as replacement characters, and markup as it is."""
    job_id = enqueue(here, "break_down", '{"message": "\\u001b[2J[red]gone\\nsecond line"}')
    work_off()
    for ran in (here("jobs", "list"), here("jobs", "show", job_id)):
        assert "\x1b" not in ran.out
        assert "\ufffd[2J[red]gone" in ran.out


def test_a_filter_chooses_jobs(here: Run) -> None:
    """Beside the options; what does not match is not listed."""
    added = enqueue(here, "add", "a=7")
    enqueue(here, "add", "a=8")
    greeting = enqueue(here, "greet", "name=Ada")

    def listed(*words: str) -> list[str]:
        return [record["id"] for record in here("jobs", "list", "--json", *words).json()]

    assert listed("args.a=7 state:queued") == [added]
    assert listed("args.name:A* queue:mail") == [greeting]
    assert listed("age<1h", "--task", "greet") == [greeting]
    assert listed("args.a>7", "--queue", "mail") == []
    assert len(listed("task:*")) == 3


def test_a_filter_that_cannot_be_read_shows_where(here: Run) -> None:
    """The message says what to write, and a mark stands below the place."""
    ran = here("jobs", "list", "queue:mail state:faild")
    assert ran.status == 2
    assert ran.err.splitlines() == [
        'error: there is no state "faild". Did you mean "failed"? (character 18 of the filter)',
        "queue:mail state:faild",
        "                 ^",
    ]


# -- on all that match --


def test_all_that_match_are_retried(here: Run) -> None:
    """An operation is started, and shown; workers do it; it can be stopped only once."""
    jobs = [enqueue(here, "break_down", "message=no") for _ in range(3)]
    work_off()
    started = here("jobs", "retry", "--matching", "state:failed args.message=no", "--yes")
    assert re.match(r"operation \d+ will retry 3 jobs in 5\.0 s: `headrace operations show", started.out)
    number = started.out.split()[1]
    (listed,) = here("operations", "list", "--json").json()
    assert (listed["id"], listed["state"], listed["estimate"]) == (int(number), "waiting", 3)
    assert here("operations", "list").out.splitlines()[1].split()[:3] == [number, "waiting", "retry"]
    assert "args.message=no state:succeeded,failed,cancelled" in here("operations", "show", number).out
    assert here("operations", "cancel", number).out == f"operation {number} is cancelled; 0 jobs had been done\n"
    assert here("operations", "show", number, "--json").json()["cancelled_by"]
    assert [state_of(here, job) for job in jobs] == ["failed"] * 3
    assert here("operations", "show", "999999").status == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("retry",), "give IDs of jobs, or --matching FILTER"),
        (("delete", NOBODYS_ID, "--matching", "state:failed"), "give either IDs or --matching FILTER"),
        (("retry", "--matching", "state:failed", "--args", "{}"), "--args is for jobs that are named by their ids"),
        (("delete", "--matching", ""), "an operation needs a filter"),
        (("cancel", "--matching", "task:add"), "nobody is here to confirm: add --yes"),
    ],
)
def test_acting_on_all_needs_a_filter_and_a_yes(here: Run, words: tuple[str, ...], message: str) -> None:
    """What makes no sense, or nobody confirms, starts nothing."""
    enqueue(here, "add", "a=1")
    ran = here("jobs", *words)
    assert ran.status == 2
    assert message in ran.message
    assert here("operations", "list", "--json").json() == []


def test_failures_are_grouped(here: Run) -> None:
    """By exception and place; the group's name is a filter."""
    jobs = [enqueue(here, "break_down", f"message=no {n}") for n in range(2)]
    work_off()
    (group,) = here("failures", "--json").json()
    assert (group["count"], group["type"], group["place"]) == (2, "ValueError", "tests/cli_app.py in break_down")
    assert (group["tasks"], group["example"]) == (["break_down"], jobs[1])
    line = here("failures", "task:break_down").out.splitlines()[1]
    assert line.split()[:3] == [group["failure"], "2", "ValueError"]
    found = here("jobs", "list", f"failure:{group['failure']}", "--json").json()
    assert {job["id"] for job in found} == set(jobs)
    assert here("failures", "task:add").message == "no failed jobs"


# -- jobs show --


def test_a_job_shows_its_whole_life(here: Run) -> None:
    """Every attempt with its outcome and error, those before an operator's retry too, and the last one's traceback."""
    job_id = enqueue(here, "break_down", "message=first")
    work_off()
    assert here("jobs", "retry", job_id, "--args", '{"message": "second"}').out == f"job {job_id} will run again\n"
    work_off()
    shown = here("jobs", "show", job_id)
    assert f"job {job_id}  failed" in shown.out
    assert 'arguments    {"message": "second"}' in shown.out
    table = [line.split() for line in shown.out.splitlines() if line[:1].isdigit()]
    assert [(line[0], line[1], line[-1]) for line in table] == [
        ("1", "retried", "first"), ("2", "failed", "first"), ("3", "retried", "second"), ("4", "failed", "second"),
    ]  # fmt: skip
    assert "ValueError: second" in shown.out.splitlines()[-1]
    job = here("jobs", "show", job_id, "--json").json()
    assert [(attempt["run"], attempt["outcome"]) for attempt in job["runs"]] == [
        (1, "retried"), (2, "failed"), (3, "retried"), (4, "failed"),
    ]  # fmt: skip
    assert all(attempt["duration_s"] >= 0 for attempt in job["runs"])
    assert job["finished_at"].endswith("+00:00")


def test_a_job_shows_what_its_handler_said(here: Run) -> None:
    """Progress, log lines and the result are on the page, and in the document."""
    job_id = enqueue(here, "greet", "name=Ada")
    work_off()
    shown = here("jobs", "show", job_id).out
    assert "progress     1 of 2 (50%): half way" in shown
    assert 'result       "Hello Ada"' in shown
    assert "run 1  info     greeting Ada" in shown
    job = here("jobs", "show", job_id, "--json").json()
    assert job["result"] == "Hello Ada"
    assert [line["message"] for line in job["logs"]] == ["greeting Ada"]


def test_a_job_that_never_ran_has_no_attempts(here: Run) -> None:
    """A cancelled job that was never claimed shows no attempt."""
    job_id = enqueue(here, "add", "a=1")
    here("jobs", "cancel", job_id, "--reason", "not needed")
    job = here("jobs", "show", job_id, "--json").json()
    assert (job["state"], job["runs"], job["error"]["message"]) == ("cancelled", [], "not needed")


def test_a_job_cancelled_between_attempts_shows_each_once(here: Run) -> None:
    """The attempt before the cancelling is not told twice."""
    job_id = enqueue(here, "hold_off")
    work_off()
    here("jobs", "cancel", job_id)
    job = here("jobs", "show", job_id, "--json").json()
    assert [(attempt["run"], attempt["outcome"]) for attempt in job["runs"]] == [(1, "retried")]


def test_a_waiting_job_says_for_what(here: Run) -> None:
    """The event and the end of the wait, and the steps so far with the heads of their results; then the rest of them."""
    job_id = enqueue(here, "order")
    work_off()
    shown = here("jobs", "show", job_id).out
    assert 'why          it waits for the event "paid:42", until ' in shown
    assert re.search(r"gives up     .*\(in 5h 59m\)|gives up     .*\(in 6h\)", shown)
    steps = [line.split() for line in shown.splitlines() if re.match(r"\d +(charge|paid:42)", line)]
    assert [step[:5] for step in steps] == [
        ["1", "charge", "call", "done", "1"], ["2", "paid:42", "event", "waiting", "1"],
    ]  # fmt: skip
    assert steps[0][-1].endswith("x…")
    assert steps[1][-3] == "until"
    assert here("events", "emit", "paid:42", "7").out == 'event "paid:42" is emitted\n'
    work_off()
    job = here("jobs", "show", job_id, "--json").json()
    assert [(step["name"], step["outcome"], step["run"], step["result"]) for step in job["steps"][1:]] == [
        ("paid:42", "done", 2, 7), ("ship", "done", 2, "shipped for 7"),
    ]  # fmt: skip
    assert [(run["run"], run["outcome"]) for run in job["runs"]] == [(1, "waiting"), (2, "succeeded")]


# -- events --


def test_an_event_is_emitted_once(here: Run) -> None:
    """A second emit is status 1, and changes nothing; `show` tells who waits, before and after."""
    enqueue(here, "order")
    work_off()
    ran = here("events", "show", "paid:42")
    assert (ran.status, ran.message) == (
        1,
        'error: event "paid:42" was not emitted, or is forgotten; 1 job waits for it',
    )
    assert here("events", "show", "paid:42", "--json").json() == {"name": "paid:42", "waiting": 1, "emitted_at": None}
    assert here("events", "emit", "paid:42", '{"amount": 7}', "--keep", "2d").status == 0
    ran = here("events", "emit", "paid:42", '{"amount": 8}')
    assert ran.status == 1
    assert 'event "paid:42" was emitted before' in ran.message
    shown = here("events", "show", "paid:42").out
    assert 'payload    {"amount": 7}' in shown
    assert re.search(r"forgotten  .*\((in 2d|in 1d 23h)\)", shown)
    assert here("events", "show", "paid:42", "--json").json()["payload"] == {"amount": 7}


def test_a_payload_is_json(here: Run) -> None:
    """Anything else is wrong use; without one it is null."""
    ran = here("events", "emit", "paid:42", "{amount}")
    assert ran.status == 2
    assert "the payload is not JSON" in ran.message
    assert here("events", "emit", "paid:42").status == 0
    assert here("events", "show", "paid:42", "--json").json()["payload"] is None
    assert here("events", "emit", "x" * 301).status == 2


# -- jobs retry, cancel, delete --


@pytest.mark.parametrize(("options", "runs"), [((), [1, 1]), (("--from-start",), [2, 2])])
def test_a_retry_goes_on_after_the_last_step_or_starts_anew(
    here: Run, options: tuple[str, ...], runs: list[int]
) -> None:
    """What is recorded is kept, or forgotten."""
    here("events", "emit", "paid:42")
    job_id = enqueue(here, "order", "fails=true")
    work_off()
    steps = here("jobs", "show", job_id, "--json").json()["steps"]
    assert [step["run"] for step in steps] == [1, 1]
    assert here("jobs", "retry", job_id, *options).status == 0
    work_off()
    steps = here("jobs", "show", job_id, "--json").json()["steps"]
    assert [step["run"] for step in steps] == runs


@pytest.mark.parametrize("command", [("show",), ("retry",), ("cancel",), ("delete", "--yes")])
def test_an_unknown_id_is_said(here: Run, command: tuple[str, ...]) -> None:
    """A job that is not there is a message and status 1; what is no id at all is wrong use."""
    ran = here("jobs", *command, NOBODYS_ID)
    assert ran.status == 1
    assert NOBODYS_ID in ran.err
    ran = here("jobs", *command, "12")
    assert ran.status == 2
    assert "is not a job's id" in ran.message


def test_retry_tells_the_possible_from_the_rest(here: Run) -> None:
    """Finished and scheduled jobs run; for the others there is a reason, and status 1."""
    finished = enqueue(here, "add", "a=1")
    work_off()
    later, queued = enqueue(here, "add", "a=1", "--delay", "1h"), enqueue(here, "add", "a=1")
    ran = here("jobs", "retry", finished, later, queued, NOBODYS_ID)
    assert ran.status == 1
    assert set(ran.out.splitlines()) == {f"job {finished} will run again", f"job {later} will run again"}
    assert f"error: job {queued} is queued: there is nothing to retry" in ran.err
    assert f"error: job {NOBODYS_ID} is not there" in ran.err
    assert state_of(here, finished) == state_of(here, later) == "queued"


@pytest.mark.parametrize("args", ["{", "[1]", "1"])
def test_retry_wants_an_object(here: Run, args: str) -> None:
    """--args that are no JSON object are wrong use."""
    ran = here("jobs", "retry", NOBODYS_ID, "--args", args)
    assert ran.status == 2
    assert "--args" in ran.message


def test_cancel_tells_what_became_of_each(here: Run) -> None:
    """A waiting job is cancelled with the reason; a finished one is left alone, with status 1."""
    finished = enqueue(here, "add", "a=1")
    work_off()
    waiting = enqueue(here, "add", "a=1")
    ran = here("jobs", "cancel", waiting, finished)
    assert (ran.status, ran.out) == (1, f"job {waiting} is cancelled\n")
    assert ran.err == f"error: job {finished} has finished already\n"
    assert state_of(here, waiting) == "cancelled"


def test_delete_asks_first(here: Run) -> None:
    """Without a terminal to ask on, and without --yes, nothing is deleted; with it the job is gone."""
    job_id = enqueue(here, "add", "a=1")
    refused = here("jobs", "delete", job_id)
    assert refused.status == 2
    assert "add --yes" in refused.message
    assert state_of(here, job_id) == "queued"
    assert here("jobs", "delete", "--yes", job_id).out == f"job {job_id} is deleted\n"
    assert here("jobs", "show", job_id).status == 1


# -- queues and workers --


# -- workflows --


def start_workflow() -> str:
    """A node, two jobs after it, one of which fails, and one after both; worked off. Its id."""

    async def start(app: Headrace) -> str:
        add, break_down = app.tasks["add"], app.tasks["break_down"]
        wf = Workflow("import", on_failure=add.job(1))
        wf.add("fetch", add.job(1))
        wf.add("parse", group(add.job(previous()), add.job(1), break_down.job("no\nmore")), after="fetch")
        wf.add("store", add.job(1), after="parse")
        started = await app.start(wf)
        await app.drain()
        return str(started.id)

    return str(with_app(start))


def test_a_workflow_is_drawn_with_its_states(here: Run) -> None:
    """Each node under those that it waits for; those that look the same are one line; callbacks come last."""
    workflow = start_workflow()
    ran = here("workflows", "show", workflow)
    assert ran.status == 0
    head, _, drawing = ran.out.partition("\n\n")
    assert f"workflow {workflow}  failed" in head
    for fact in (
        "name         import",
        "done         5 of 5 (100%)",
        "jobs         3 succeeded, 1 failed, 1 cancelled",
    ):
        assert fact in head
    lines = drawing.splitlines()
    assert lines[:3] == [
        "  ✓ fetch (add)  succeeded",
        "    ✓ add x 2  succeeded  after fetch",
        "    ✗ break_down  failed  after fetch  no",
    ]
    assert lines[3].startswith("      - store (add)  cancelled  after add, break_down (x 3)  job ")
    assert lines[3].endswith(" failed")
    assert lines[4:] == ["  ✓ add [on_failure]  succeeded"]
    shown = here("workflows", "show", workflow, "--json").json()
    assert (shown["state"], shown["succeeded"], len(shown["nodes"])) == ("failed", 3, 7)


def test_workflows_are_listed(here: Run) -> None:
    """The newest first, with how far they are."""
    workflow = start_workflow()
    lines = here("workflows", "list").out.splitlines()
    assert lines[0].split() == ["ID", "STATE", "DONE", "FAILED", "CANCELLED", "STARTED", "NAME"]
    assert lines[1].split()[:5] == [workflow, "failed", "5/5", "1", "1"]
    assert here("workflows", "list", "--state", "running").message == "no such workflow"
    assert [it["id"] for it in here("workflows", "list", "--json").json()] == [workflow]
    assert here("workflows", "list", "--state", "queued").status == 2


def test_workflows_are_retried_and_cancelled(here: Run) -> None:
    """Each says what it did, or why there was nothing to do."""
    workflow = start_workflow()
    assert here("workflows", "cancel", workflow).message == f"error: workflow {workflow} has finished already"
    assert here("workflows", "retry", workflow).out == f"workflow {workflow}: 2 jobs will run again\n"
    assert "is cancelled" in here("workflows", "cancel", workflow, "--reason", "enough").out
    assert here("workflows", "list", "--json").json()[0]["cancel_reason"] == "enough"
    for command in ("show", "cancel", "retry"):
        ran = here("workflows", command, NOBODYS_ID)
        assert (ran.status, "never existed" in ran.message) == (1, True)
    assert here("workflows", "show", "x").status == 2


def test_queues_are_counted(here: Run) -> None:
    """Each queue has its unfinished jobs by state."""
    for words in (("add", "a=1"), ("add", "a=1", "--delay", "1h"), ("greet", "name=Ada")):
        enqueue(here, *words)
    records = {record["queue"]: record for record in here("queues", "--json").json()}
    assert {name: (record["queued"], record["scheduled"]) for name, record in records.items()} == {
        "default": (1, 1), "mail": (1, 0),
    }  # fmt: skip
    assert records["mail"]["oldest_s"] >= 0
    lines = here("queues").out.splitlines()
    assert lines[1].split()[:5] == ["default", "1", "0", "1", "0"]


def test_queues_can_be_set_and_unset(here: Run) -> None:
    """A setting stays until it is set to none; the other one is not touched."""

    def settings() -> tuple[Any, Any]:
        (record,) = here("queues", "--json").json()
        return record["concurrency"], record["max_queued"]

    enqueue(here, "add", "a=1")
    assert here("queues", "set", "default", "--concurrency", "0", "--max-queued", "100").status == 0
    assert settings() == (0, 100)
    assert here("queues", "set", "default", "--concurrency", "none").status == 0
    assert settings() == (None, 100)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("defualt", "--concurrency", "3"), 'there is no queue "defualt". Did you mean "default"?'),
        (("default",), "nothing to set"),
        (("default", "--concurrency", "-1"), 'is neither a number nor "none"'),
    ],
)
def test_wrong_queue_settings_are_refused(here: Run, words: tuple[str, ...], message: str) -> None:
    """A misspelt queue is not made, and settings must be numbers."""
    enqueue(here, "add", "a=1")
    ran = here("queues", "set", *words)
    assert ran.status == 2
    assert message in ran.message
    assert [record["queue"] for record in here("queues", "--json").json()] == ["default"]


def test_workers_are_listed_with_what_they_do(here: Run, url: str) -> None:
    """Each lease has a line: running, draining, or silent when it has not beaten for its lease."""
    assert here("workers").err == "no worker is running\n"
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute(
            "insert into headrace.worker (host, pid, version, queues, draining, beaten_at) values "
            """('one', 1, '1', '{"mail": 3, "a": 1}', false, now()), ('two', 2, '1', '{}', true, now()), """
            "('three', 3, '1', '{}', false, now() - interval '1 minute')"
        )
    states = {record["host"]: record["state"] for record in here("workers", "--json").json()}
    assert states == {"one": "running", "two": "draining", "three": "silent"}
    assert "a (1), mail (3)" in here("workers").out


# -- worker, before it starts --


def test_a_worker_for_an_unknown_queue_is_refused(here: Run) -> None:
    """A queue that no task uses is wrong use, with the one that was meant, before any process starts."""
    ran = here("worker", TARGET, "--queue", "mial")
    assert ran.status == 2
    assert ran.err == 'error: no task uses the queue "mial". Did you mean "mail"?\n'
    assert here("worker", TARGET, "--queues", "default, mial").status == 2


def test_a_worker_on_an_old_schema_is_refused(empty_database: str) -> None:
    """Before any process starts, the worker command says that the database must be migrated."""
    ran = subprocess.run(
        [sys.executable, "-m", "headrace", "worker", TARGET],
        cwd=REPOSITORY, env=os.environ | {"HEADRACE_URL": empty_database}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.returncode == 1
    assert ran.stderr == 'error: the database has no schema "headrace": run `headrace migrate`\n'


# -- durations --


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30s", 30),
        ("5m", 300),
        ("1h", 3600),
        ("2d", 172_800),
        ("1h30m", 5400),
        ("1.5s", 1.5),
        ("250ms", 0.25),
        ("7", 7),
    ],
)
def test_durations_are_read(text: str, seconds: float) -> None:
    """Numbers with units, several in a row, or seconds."""
    assert read_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "soon", "-5s", "5x", "s", "1h-3m", "99999999999999999d"])
def test_other_durations_are_refused(text: str) -> None:
    """Anything else is wrong use."""
    with pytest.raises(typer.BadParameter):
        read_duration(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0134, "13 ms"), (2.34, "2.3 s"), (59.4, "59 s"), (61, "1m 1s"), (3600, "1h"), (90_061, "1d 1h")],
)
def test_durations_are_shown(seconds: float, text: str) -> None:
    """In the two largest units."""
    assert show_duration(seconds) == text


# -- schedules --


def next_of(run: Run, name: str, *words: str) -> Any:
    return run("schedules", "next", name, *words, "--json").json()


def test_a_schedule_s_life(here: Run) -> None:
    """Made, listed, shown, changed, paused, resumed, skipped, run, and deleted: each says what it did."""
    work_off()
    made = here(
        "schedules", "create", TARGET, "sums", "add", "a=1", "b=2", "--cron", "0 9 * * *", "--timezone", "Asia/Kolkata"
    )
    assert (made.status, made.out) == (0, 'schedule "sums" is made: 0 9 * * * Asia/Kolkata\n'), made.err
    (listed,) = here("schedules", "list", "--json").json()
    assert (listed["name"], listed["args"], listed["declared"]) == ("sums", {"a": 1, "b": 2}, False)
    assert "0 9 * * * Asia/Kolkata" in here("schedules", "list").out
    coming = next_of(here, "sums", "--days", "7")
    assert len(coming) == 7
    assert {each["nominal"][11:16] for each in coming} == {"09:00"}
    assert "Asia/Kolkata" not in here("schedules", "edit", "sums", "--every", "2h", "--overlap", "queue").out
    assert len(next_of(here, "sums", "--days", "1")) == 12
    assert here("schedules", "pause", "sums", "--reason", "audit").out == 'schedule "sums" is paused\n'
    assert {each["held"] for each in next_of(here, "sums")} == {"paused"}
    assert "paused: audit" in here("schedules", "list").out
    assert here("schedules", "resume", "sums").out == 'schedule "sums" goes on\n'
    assert here("schedules", "skip", "sums").status == 0
    assert [each["held"] for each in next_of(here, "sums", "--limit", "2")] == ["skipped", None]
    assert here("schedules", "skip", "sums", "--undo").status == 0
    job = here("schedules", "run", "sums").out.strip()
    assert state_of(here, job) == "queued"
    shown = here("schedules", "show", "sums")
    for word in ("every 2h", "queue", "run_now", job, '{"a": 1, "b": 2}'):
        assert word in shown.out
    assert here("schedules", "show", "sums", "--json").json()["ticks"][0]["job_id"] == job
    assert here("schedules", "delete", "sums").status == 0
    assert here("schedules", "list").message == "there are no schedules yet"


def test_a_backfill_reads_times_in_the_schedule_s_zone(here: Run) -> None:
    """Days mean days there; one day has one moment, and a second call none."""
    here("schedules", "create", TARGET, "sums", "add", "a=1", "--cron", "0 1 * * *", "--timezone", "Asia/Kolkata")
    words = ("schedules", "backfill", "sums", "2026-01-05", "2026-01-07")
    assert here(*words).out == '2 moments of schedule "sums" will run\n'
    assert here(*words).out == '0 moments of schedule "sums" will run\n'
    ticks = here("schedules", "show", "sums", "--json").json()["ticks"]
    assert [tick["due_at"] for tick in ticks] == ["2026-01-05T19:30:00+00:00", "2026-01-04T19:30:00+00:00"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("create", TARGET, "s", "add", "a=1", "--cron", "61 * * * *"), 'the minute "61" is wrong: write 0-59'),
        (("create", TARGET, "s", "add", "a=1", "--cron", "0 9 * * *", "--timezone", "Asia/Calcuta"), "Asia/Calcutta"),
        (("create", TARGET, "s", "ad", "a=1", "--every", "1h"), 'Did you mean "add"'),
        (("create", TARGET, "s", "add", "--every", "1h"), 'argument "a"'),
        (("create", TARGET, "s", "add", "[1]", "--every", "1h"), "arguments have names"),
        (("create", TARGET, "s", "add", "a=1", "--at", "2027-01-01T09:00"), "--at needs an offset"),
        (("create", TARGET, "s", "add", "a=1", "--at", "tomorrow"), '"tomorrow" is not a time'),
        (("create", TARGET, "s", "add", "a=1", "--every", "1h", "--overlap", "maybe"), "skip, queue, cancel, allow"),
        (("create", TARGET, "s", "add", "a=1"), "by one of cron, every and at"),
        (("edit", "s"), "nothing to change"),
        (("edit", "s", "--args", "{}"), "--args needs --app"),
        (("edit", "s", "--every", "1h"), 'there is no schedule "s"'),
        (("show", "s"), 'there is no schedule "s"'),
        (("pause", "s"), "reason"),
        (("backfill", "s", "2026-13-01", "2026-12-01"), '"2026-13-01" is not a time'),
    ],
)
def test_what_is_asked_wrongly_of_schedules(here: Run, words: tuple[str, ...], message: str) -> None:
    """One message that says what to write instead, and status 2."""
    ran = here("schedules", *words)
    assert ran.status == 2, ran.out
    assert message in ran.message
    assert here("schedules", "list", "--json").json() == []


# -- operating --


def test_why_a_job_does_not_run(here: Run) -> None:
    """Each reason and what is next, for people and for programs."""
    job_id = enqueue(here, "greet", "name=Ada")
    here("queues", "pause", "mail", "--reason", "the provider is down")
    shown = here("why", job_id).out
    assert f"job {job_id}  queued  greet in mail" in shown
    assert re.search(r'why +queue "mail" is paused by \w+: the provider is down', shown)
    assert re.search(r"next +it starts when somebody ends the pause", shown)
    told = here("why", job_id, "--json").json()
    assert (told["reasons"][0]["kind"], told["reasons"][0]["reason"]) == ("paused", "the provider is down")
    assert told["next"]
    here("queues", "resume", "mail")
    missing = here("why", NOBODYS_ID)
    assert (missing.status, NOBODYS_ID in missing.err) == (1, True)


def test_the_doctor(here: Run) -> None:
    """What is wrong comes with a remedy and exit status 1."""
    enqueue(here, "greet", "name=Ada")
    ran = here("doctor")
    assert ran.status == 1
    assert re.search(r'critical +no live worker serves queue "mail", in which 1 job waits', ran.out)
    assert "→ headrace worker MODULE:APP --queue mail" in ran.out
    findings = json.loads(here("doctor", "--json").out)
    assert {"critical"} <= {finding["severity"] for finding in findings}
    assert set(findings[0]) == {"severity", "check", "what", "detail", "remedy"}


def test_the_history_and_deploys(here: Run) -> None:
    """A metric over time; a deploy that is marked is listed."""
    assert here("deploys", "mark", "v1.2").out == "deploy v1.2 is marked\n"
    assert "v1.2" in here("deploys", "list").out
    assert [one["label"] for one in here("deploys", "list", "--json").json()] == ["v1.2"]
    series = here("history", "succeeded", "--since", "2h", "--json").json()
    assert (series["metric"], series["step"], len(series["points"]) in (120, 121)) == ("succeeded", 60, True)
    assert len(here("history", "wait_p95", "--queue", "mail", "--since", "10m").out.splitlines()) in (11, 12)
    wrong = here("history", "speed")
    assert (wrong.status, "Known: blocked, cancelled" in wrong.message) == (2, True)
