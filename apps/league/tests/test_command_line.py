"""The commands as a user types them."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from apps.league.cli import main
from apps.league.generator import Shape, make_league
from apps.league.stats import CACHE_TAGS, STATS_FUNCTIONS
from apps.league.tests.conftest import REPOSITORY
from apps.league.tests.oracle import ORACLE
from apps.league.writing import write_league

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run_anywhere(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """A function that runs a command where no database answers: exit code, output, errors."""
    monkeypatch.setenv("HEADRACE_URL", "postgresql://me:hidden@localhost:1/none")

    def run_command(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["league", *map(str, arguments)])
        with pytest.raises(SystemExit) as exited:
            main()
        out, err = capsys.readouterr()
        return int(exited.value.code or 0), out, err

    return run_command


@pytest.fixture
def run(run_anywhere: Run, empty_database: str, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The same on an empty database."""
    monkeypatch.setenv("HEADRACE_URL", empty_database)
    return run_anywhere


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A directory with a generated league."""
    write_league(make_league(SHAPE), tmp_path / "league")
    return tmp_path / "league"


SHAPE = Shape(seasons=2, matches_per_season=12, players=20, players_per_side=5)


def test_import_run_show(run: Run, files: Path) -> None:
    """From files to every statistic: three commands, and the ids are those of the files."""
    code, out, err = run("import", files)
    assert (code, err) == (0, "")
    assert out.startswith("Imported 20 players, 24 matches and 240 appearances.\n")
    code, out, _ = run("run", "all", "--direct")
    assert code == 0
    assert [line.split()[:2] for line in out.splitlines()] == [
        ["ok", function.rpc_name] for function in STATS_FUNCTIONS
    ]
    for tag in CACHE_TAGS:
        code, out, err = run("show", tag.name, "--json")
        assert (code, err) == (0, "")
        assert json.loads(out) == ORACLE[tag.name](make_league(SHAPE))


def test_bad_files_store_nothing(run: Run, files: Path, empty_database: str) -> None:
    """A bad row among good ones: exit code 1, file:line: reason, and nothing of it is stored."""
    appearances = files / "appearances.csv"
    appearances.write_text(appearances.read_text() + "GM-2006-01,P-99999,A,0,0\n")
    code, out, err = run("import", files)
    assert (code, out) == (1, "")
    assert "appearances.csv:242: unknown player 'P-99999': it is not in players.csv\n" in err
    with psycopg.connect(empty_database) as conn:
        assert conn.execute("select to_regclass('league.players')").fetchone() == (None,)


def test_an_import_that_fails_changes_nothing_of_the_last(run: Run, files: Path) -> None:
    """After a refused import the league is that of the import before."""
    run("import", files)
    run("run", "all", "--direct")
    before = run("show", "all_time_stats", "--json")
    matches = files / "matches.csv"
    matches.write_text(matches.read_text().replace("2006-", "2005-").replace("GM-2005-01", "GM-2006-01"))
    assert run("import", files)[0] == 1
    run("run", "all", "--direct")
    assert run("show", "all_time_stats", "--json") == before


def test_generate(run: Run, tmp_path: Path) -> None:
    """The options decide the league, in the database and in the files alike."""
    size = ("--seasons", 2, "--matches", 5, "--players", 30, "--seed", 8)
    code, out, _ = run("generate", *size)
    assert (code, out) == (0, "Generated 30 players, 10 matches and 220 appearances.\n")
    run("run", "update_power_ratings", "--direct")
    generated = run("show", "player_power_rating", "--json")
    assert run("generate", *size, "--csv", tmp_path)[0] == 0
    run("import", tmp_path)
    run("run", "update_power_ratings", "--direct")
    assert run("show", "player_power_rating", "--json") == generated


def test_show_limits_its_rows(run: Run) -> None:
    """--limit holds for JSON and tables; a table says that it shows only the first rows."""
    run("generate", "--seasons", 1)
    run("run", "all", "--direct")
    rows: list[dict[str, Any]] = json.loads(run("show", "season_stats", "--json")[1])
    assert len(rows) > 20
    assert json.loads(run("show", "season_stats", "--json", "--limit", 3)[1]) == rows[:3]
    table = run("show", "season_stats")[1]
    assert rows[19]["name"] in table
    assert "the first 20" in table
    table = run("show", "season_stats", "--limit", 2)[1]
    assert rows[1]["name"] in table
    assert rows[2]["name"] not in table


def test_show_prints_a_table(run: Run, files: Path) -> None:
    """Without --json each cache tag is a table with a heading and its first results."""
    run("import", files)
    run("run", "all", "--direct")
    for tag in CACHE_TAGS:
        code, out, err = run("show", tag.name, "--limit", 4)
        assert (code, err) == (0, "")
        assert out.split("\n")[0].strip() == tag.name
        assert ORACLE[tag.name](make_league(SHAPE))[1]["name"] in out


def test_names_are_printed_as_they_are(run: Run, files: Path) -> None:
    """What looks like markup in a name is a part of the name."""
    players = files / "players.csv"
    lines = players.read_text().splitlines()
    lines[1:] = [f"{line.split(',')[0]},[red]Ada[/]" for line in lines[1:]]
    players.write_text("\n".join(lines))
    run("import", files)
    run("run", "all", "--direct")
    assert "[red]Ada[/]" in run("show", "all_time_stats")[1]


@pytest.mark.parametrize("prepare", [None, "import"])
def test_show_says_that_nothing_was_computed(run: Run, files: Path, prepare: str | None) -> None:
    """Before the first run an empty result says what to do, also where there is no league yet."""
    if prepare:
        run(prepare, files)
    code, out, err = run("show", "hall_of_fame", "--json")
    assert (code, json.loads(out)) == (0, [])
    assert "the statistics have not been computed yet" in err
    assert "run all" in err


def test_run_exits_1_if_a_function_failed(run: Run, files: Path, empty_database: str) -> None:
    """The failure is printed with its reason, and the other nine are done."""
    run("import", files)
    with psycopg.connect(empty_database) as conn:
        conn.execute("alter table league.hall_of_fame add check (false)")
    code, out, err = run("run", "all", "--direct")
    assert code == 1
    assert "failed update_aggregated_hall_of_fame" in out
    assert "violates check constraint" in out
    assert "1 of 10 functions failed" in err
    assert json.loads(run("show", "all_time_stats", "--json")[1])


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["show", "hall"], 2, "there is no cache tag 'hall'; there are: season_stats, "),
        (["show", "hall_of_fam"], 2, "'hall_of_fam'; did you mean hall_of_fame?"),
        (
            ["run", "update_power_rating", "--direct"], 2,
            "no statistics function 'update_power_rating'; did you mean update_power_ratings?",
        ),
        (["show", "hall_of_fame", "--limit", "0"], 2, "--limit"),
        (["import", "/nowhere"], 1, "/nowhere is not a directory"),
        (["generate", "--players", "5"], 1, "5 players cannot fill two sides of 11"),
    ],
)  # fmt: skip
def test_mistakes_are_answered_in_words(run_anywhere: Run, arguments: list[str], code: int, message: str) -> None:
    """A mistake has its exit code and a message that says what to do, before a database is asked."""
    exit_code, _, err = run_anywhere(*arguments)
    assert exit_code == code
    assert message in err


def test_a_database_that_does_not_answer(run_anywhere: Run) -> None:
    """The message names the setting and does not give away the password."""
    code, _, err = run_anywhere("show", "hall_of_fame")
    assert code == 1
    assert "cannot connect to the database that HEADRACE_URL names" in err
    assert "hidden" not in err


def test_it_is_a_module_to_run() -> None:
    """`python -m apps.league` starts, and lists its commands."""
    ended = subprocess.run(
        [sys.executable, "-m", "apps.league", "--help"],
        cwd=REPOSITORY, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert all(command in ended.stdout for command in ("import", "generate", "run", "show"))


def test_the_real_data_is_imported_without_a_complaint(run: Run, real_data: Path) -> None:
    """256 World Cup matches load; nothing is said but how many."""
    code, out, err = run("import", real_data)
    assert (code, err) == (0, "")
    assert out.startswith("Imported 2,379 players, 256 matches and 12,157 appearances.\n")
