"""Databases with leagues in them, and the real data."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from apps.league.direct import call
from apps.league.installation import install
from apps.league.reading import read_league
from apps.league.results import read_results
from apps.league.stats import CACHE_TAGS, STATS_FUNCTIONS
from apps.league.storing import store_all
from apps.league.tests.leagues import LEAGUES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from apps.league.model import League

    Results = dict[str, list[dict[str, Any]]]

REPOSITORY = Path(__file__).parents[3]


@pytest.fixture
def conn(empty_database: str) -> Iterator[psycopg.Connection]:
    """A connection to a database with an empty league."""
    with psycopg.connect(empty_database, autocommit=True) as conn:
        install(conn)
        yield conn


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The directory of the real data; what needs it is skipped, loudly, where there is none."""
    chosen = os.environ.get("LEAGUE_DATA")
    directory = Path(chosen) if chosen else REPOSITORY.parent / "shared" / "data" / "league"
    if not directory.is_dir():
        pytest.skip(f"NOT RUN: no real league data in {directory}; LEAGUE_DATA names another place")
    return directory


@pytest.fixture(scope="session")
def _computed() -> dict[str, tuple[League, Results]]:
    return {}


@pytest.fixture
def computed(
    request: pytest.FixtureRequest, _computed: dict[str, tuple[League, Results]]
) -> Callable[[str], tuple[League, Results]]:
    """A function from the name of a league to it and all its statistics, computed once a run."""

    def compute(name: str) -> tuple[League, Results]:
        if name not in _computed:
            is_real = name == "real"
            league = read_league(request.getfixturevalue("real_data")) if is_real else LEAGUES[name]()
            conn = request.getfixturevalue("conn")
            with conn.transaction(force_rollback=True):  # the next league finds it empty
                store_all(conn, league)
                _computed[name] = (league, compute_all(conn))
        return _computed[name]

    return compute


def compute_all(conn: psycopg.Connection) -> Results:
    """Run all ten functions and read all that they have computed."""
    for function in STATS_FUNCTIONS:
        call(conn, function)
    return {tag.name: read_results(conn, tag) for tag in CACHE_TAGS}
