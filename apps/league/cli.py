"""The command line: `python -m apps.league ...`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from apps.league.database import connection
from apps.league.demo import main as run_demo
from apps.league.direct import run_direct
from apps.league.errors import LeagueError, UnknownNameError
from apps.league.generator import MILLION, Shape, generate, make_league
from apps.league.installation import install
from apps.league.queued import run_queued
from apps.league.reading import read_league
from apps.league.results import read_results
from apps.league.stats import CACHE_TAGS, STATS_FUNCTIONS, cache_tag, stats_function
from apps.league.storing import store_all
from apps.league.terminal import console, print_error, print_results, print_run
from apps.league.writing import write_league

if TYPE_CHECKING:
    from apps.league.model import League

TERMINAL_ROWS = 20

app = typer.Typer(
    help="A football league and its statistics.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def main() -> None:
    """Run a command; what the user can put right ends in a message, not in a traceback."""
    try:
        app(prog_name="python -m apps.league")
    except UnknownNameError as error:
        print_error(str(error))
        sys.exit(2)
    except LeagueError as error:
        print_error(str(error))
        sys.exit(1)


@app.command("import")
def import_directory(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Holds the three CSV files.")],
) -> None:
    """Load players.csv, matches.csv and appearances.csv: all of them, or nothing and why."""
    league = read_league(directory)
    with connection() as conn:
        install(conn)
        store_all(conn, league)
    _say_what("Imported", league)
    console.print("Next: python -m apps.league run all", highlight=False)


@app.command("generate")
def generate_league(
    seasons: Annotated[int, typer.Option(min=1)] = 20,
    matches: Annotated[int, typer.Option(min=1, help="Matches per season.")] = 40,
    players: Annotated[int, typer.Option(min=2)] = 60,
    seed: Annotated[int, typer.Option(help="Another seed makes another league.")] = 1,
    million: Annotated[bool, typer.Option("--million", help="1,000,000 appearances, whatever else is said.")] = False,
    csv: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write the CSV files here instead of the database."),
    ] = None,
) -> None:
    """Make up a league, the same for the same options."""
    shape = MILLION if million else Shape(seasons, matches, players, seed=seed)
    if csv is not None:
        league = make_league(shape)
        write_league(league, csv)
    else:
        with connection() as conn:
            install(conn)
            league = generate(conn, shape)
    _say_what("Generated", league)


@app.command()
def run(
    function: Annotated[str, typer.Argument(metavar="FUNCTION|all", help="A statistics function, or all ten.")],
    direct: Annotated[bool, typer.Option("--direct", help="Call the SQL functions without the queue.")] = False,
) -> None:
    """Compute statistics; exits 1 if a function failed."""
    functions = STATS_FUNCTIONS if function == "all" else (stats_function(function),)
    failed = 0
    with connection() as conn:
        install(conn)
        for function_run in run_direct(conn, functions) if direct else run_queued(functions):
            print_run(function_run)
            failed += function_run.error is not None
    if failed:
        raise LeagueError(f"{failed} of {len(functions)} functions failed")


@app.command()
def demo(
    check: Annotated[bool, typer.Option("--check", help="Verify the outcome and exit, 0 if all is well.")] = False,
) -> None:
    """Play a match and watch its statistics being computed in the background."""
    raise typer.Exit(run_demo(check=check))


@app.command()
def show(
    tag: Annotated[
        str,
        typer.Argument(help="One of: " + ", ".join(tag.name for tag in CACHE_TAGS) + "."),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON array of all rows and columns.")] = False,
    limit: Annotated[
        int | None,
        typer.Option(min=1, help=f"At most so many rows; a terminal shows {TERMINAL_ROWS}."),
    ] = None,
) -> None:
    """Print the statistics under a cache tag."""
    shown = cache_tag(tag)
    with connection() as conn:
        rows = read_results(conn, shown, limit or (None if as_json else TERMINAL_ROWS))
    if as_json:
        print(json.dumps(rows, ensure_ascii=False, indent=2))
    elif rows:
        is_cut = limit is None and len(rows) == TERMINAL_ROWS
        print_results(shown, rows, f"the first {TERMINAL_ROWS}; --limit or --json" if is_cut else None)
    if not rows:
        print_error(
            f"{tag} is empty: the statistics have not been computed yet, or there are no matches;"
            " run python -m apps.league run all"
        )


def _say_what(verb: str, league: League) -> None:
    console.print(
        f"{verb} {len(league.players):,} players, {len(league.matches):,} matches and"
        f" {len(league.appearances):,} appearances.",
        highlight=False,
    )
