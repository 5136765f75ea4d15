"""The three files: what is read, and what each kind of bad row is answered with."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import pytest

from apps.league.complaints import BadFilesError
from apps.league.errors import LeagueError
from apps.league.generator import Shape, make_league
from apps.league.model import Appearance, League, Match, Player
from apps.league.reading import read_league
from apps.league.writing import write_league

if TYPE_CHECKING:
    from pathlib import Path

PLAYERS = "player_id,name\np1,Ada\np2,Ben\n"
MATCHES = "match_id,date,team_a,team_b,score_a,score_b\nm1,2022-12-18,Reds,Blues,2,0\n"
APPEARANCES = "match_id,player_id,team,goals,own_goals\nm1,p1,A,1,0\nm1,p2,B,0,1\n"
GOOD = {"players.csv": PLAYERS, "matches.csv": MATCHES, "appearances.csv": APPEARANCES}


def write(directory: Path, **changed: str | bytes | None) -> None:
    """Write the good files, some of them changed, or left out."""
    for file, text in (GOOD | {f"{name}.csv": text for name, text in changed.items()}).items():
        if isinstance(text, bytes):
            (directory / file).write_bytes(text)
        elif text is not None:
            (directory / file).write_text(text, encoding="utf-8", newline="")


def complaints(directory: Path, **changed: str | bytes | None) -> list[str]:
    """Return what reading the changed files is answered with."""
    write(directory, **changed)
    with pytest.raises(BadFilesError) as caught:
        read_league(directory)
    assert str(caught.value).splitlines() == [str(it) for it in caught.value.complaints][:20]
    return [str(it) for it in caught.value.complaints]


def test_good_files_are_read(tmp_path: Path) -> None:
    """Good files give their players, matches and appearances in order."""
    write(tmp_path)
    assert read_league(tmp_path) == League(
        [Player("p1", "Ada"), Player("p2", "Ben")],
        [Match("m1", dt.date(2022, 12, 18), "Reds", "Blues", 2, 0)],
        [Appearance("m1", "p1", "A", 1, 0), Appearance("m1", "p2", "B", 0, 1)],
    )


def test_the_real_data_is_read_without_a_complaint(real_data: Path) -> None:
    """All of the real data is good."""
    league = read_league(real_data)
    assert (len(league.matches), len(league.players)) == (256, 2379)


def test_what_was_written_is_read_again(tmp_path: Path) -> None:
    """Writing and reading a generated league gives the same league."""
    league = make_league(Shape(seasons=2, seed=3))
    write_league(league, tmp_path / "new" / "directory")
    assert read_league(tmp_path / "new" / "directory") == league


@pytest.mark.parametrize(
    "players",
    [
        pytest.param("\ufeff" + PLAYERS, id="byte order mark"),
        pytest.param(PLAYERS.replace("\n", "\r\n"), id="lines of Windows"),
        pytest.param(PLAYERS.removesuffix("\n"), id="no line end at the end"),
        pytest.param("player_id,name\n\np1,Ada\n\np2,Ben\n\n", id="empty lines"),
        pytest.param("name,player_id\nAda,p1\nBen,p2\n", id="columns in another order"),
        pytest.param("player_id , name\n p1,Ada \np2 , Ben\n", id="spaces around values"),
        pytest.param('"player_id","name"\n"p1","Ada"\np2,"Ben"\n', id="quotes"),
    ],
)
def test_harmless_differences_are_accepted(tmp_path: Path, players: str) -> None:
    """What spreadsheets do to a CSV file does not change what is read."""
    write(tmp_path, players=players)
    assert read_league(tmp_path).players == [Player("p1", "Ada"), Player("p2", "Ben")]


def test_quoted_names_may_hold_commas_quotes_and_lines(tmp_path: Path) -> None:
    """The quoting of CSV is understood, and lines are counted as an editor counts them."""
    found = complaints(tmp_path, players='player_id,name\np1,"A, ""B""\nC"\np2,\n')
    assert found == ["players.csv:4: name is empty"]


def test_files_with_only_a_header_are_an_empty_league(tmp_path: Path) -> None:
    """Nothing was played, and nothing is wrong with that."""
    write(tmp_path, **{file.removesuffix(".csv"): text.split("\n")[0] for file, text in GOOD.items()})
    assert read_league(tmp_path) == League()


def row_of(file: str, good: str, bad: str, reason: str, line: int = 2) -> object:
    """A case: in one file something is replaced, and the reason names its line."""
    return pytest.param(file, GOOD[f"{file}.csv"].replace(good, bad), f"{file}.csv:{line}: {reason}", id=reason[:50])


NUMBER = "not a whole number of at least 0"
DATE = "not a date like 2022-12-18"
SUM = "but its appearances add up to"
HEADER = "the header should be match_id,player_id,team,goals,own_goals"


@pytest.mark.parametrize(
    ("file", "text", "complaint"),
    [
        row_of(
            "players", "p2,Ben", "p2,Ben\np1,Ada",
            "duplicate player_id 'p1', first on line 2", 4,
        ),
        row_of("players", "p2,Ben", "p2,Ben\n,Cid", "player_id is empty", 4),
        row_of("players", "Ada", " ", "name is empty"),
        row_of("players", "Ada", "A\0da", "name contains a NUL character"),
        row_of("players", "Ada", "Ada,1", "3 values for 2 columns"),
        row_of("players", "p1,Ada", "p1", "1 values for 2 columns"),
        row_of("matches", "2022-12-18", "18.12.2022", f"date is '18.12.2022', {DATE}"),
        row_of("matches", "2022-12-18", "2022-02-29", f"date is '2022-02-29', {DATE}"),
        row_of("matches", "2022-12-18", "20221218", f"date is '20221218', {DATE}"),
        row_of("matches", "2022-12-18", "", "date is empty"),
        row_of("matches", "Reds", "", "team_a is empty"),
        row_of("matches", ",2,0", ",x,0", f"score_a is 'x', {NUMBER}"),
        row_of("matches", ",2,0", ",2,-1", f"score_b is '-1', {NUMBER}"),
        row_of("matches", ",2,0", ",2,", "score_b is empty"),
        row_of("matches", ",2,0", ",1000000,0", "score_a is larger than 9999"),
        row_of(
            "matches", ",2,0", ",3,0",
            f"score_a of 'm1' is 3, {SUM} 2: 1 goals of A and 1 own goals of B",
        ),
        row_of(
            "matches", ",2,0", ",2,1",
            f"score_b of 'm1' is 1, {SUM} 0: 0 goals of B and 0 own goals of A",
        ),
        row_of(
            "matches", ",2,0\n", ",2,0\nm1,2022-12-19,Reds,Blues,0,0\n",
            "duplicate match_id 'm1', first on line 2", 3,
        ),
        row_of(
            "appearances", "m1,p1", "m9,p1,A,0,0\nm1,p1",
            "unknown match 'm9': it is not in matches.csv",
        ),
        row_of("appearances", "m1,p1", "m1,p9", "unknown player 'p9': it is not in players.csv"),
        row_of("appearances", "A,1", "C,1", "team is 'C', neither A nor B"),
        row_of("appearances", "A,1", "a,1", "team is 'a', neither A nor B"),
        row_of("appearances", "A,1,0", "A,1.5,0", f"goals is '1.5', {NUMBER}"),
        row_of("appearances", "A,1,0", "A,1,-1", f"own_goals is '-1', {NUMBER}"),
        row_of("appearances", "A,1,0", "A,¹,0", f"goals is '¹', {NUMBER}"),
        row_of(
            "appearances", "p2,B", "p1,A",
            "duplicate: player 'p1' is in match 'm1' already on line 2", 3,
        ),
        row_of(
            "appearances", "p2,B", "p1,B",
            "player 'p1' plays for both teams of match 'm1', for A on line 2", 3,
        ),
        row_of("appearances", ",own_goals", "", f"column own_goals is missing; {HEADER}", 1),
        row_of("appearances", "own_goals", "own_goals,x", f"unknown column 'x'; {HEADER}", 1),
        row_of("appearances", "own_goals", "own_goals,team", "column team is there 2 times", 1),
    ],
)  # fmt: skip
def test_a_bad_row_is_refused_with_its_line_and_reason(tmp_path: Path, file: str, text: str, complaint: str) -> None:
    """One bad row gives exactly one complaint: none about what follows from it."""
    assert complaints(tmp_path, **{file: text}) == [complaint]


@pytest.mark.parametrize("file", ["players", "matches", "appearances"])
def test_a_missing_file_is_named(tmp_path: Path, file: str) -> None:
    """A file that is not there is the only complaint."""
    assert complaints(tmp_path, **{file: None}) == [f"{file}.csv: there is no such file in {tmp_path}"]


@pytest.mark.parametrize("file", ["players", "matches", "appearances"])
def test_an_empty_file_is_named(tmp_path: Path, file: str) -> None:
    """A file without even a header is told what that should be."""
    header = GOOD[f"{file}.csv"].split("\n")[0]
    assert complaints(tmp_path, **{file: ""}) == [f"{file}.csv:1: there is no header; it should be {header}"]


def test_a_file_that_is_a_directory_is_named(tmp_path: Path) -> None:
    """What cannot be read is named with the system's reason."""
    (tmp_path / "players.csv").mkdir()
    assert complaints(tmp_path, players=None) == ["players.csv: cannot be read: Is a directory"]


def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    """A directory that is not there is one error, not three missing files."""
    with pytest.raises(LeagueError, match="nowhere is not a directory"):
        read_league(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (
            "player_id,name\np1,Ada\np2,André\n".encode("latin-1"),
            "players.csv:3: byte 0xE9 is not UTF-8; save the file as UTF-8",
        ),
        (PLAYERS.encode("utf-16"), "players.csv:1: the file is UTF-16; save it as UTF-8"),
        (
            b'player_id,name\np1,Ada\np2,"Ben\n',
            "players.csv:3: not valid CSV: unexpected end of data",
        ),
    ],
)
def test_a_file_that_is_no_csv_in_utf_8_is_named(tmp_path: Path, data: bytes, complaint: str) -> None:
    """Where the text or its quoting breaks, the line is named and the rest not guessed at."""
    assert complaints(tmp_path, players=data) == [complaint]


def test_everything_wrong_is_reported_by_file_and_line(tmp_path: Path) -> None:
    """Reading goes on after a bad row; the complaints come in the order of the files."""
    found = complaints(
        tmp_path,
        players="player_id,name\np1,Ada\np2,\n,Cid\n",
        matches=MATCHES.replace(",2,0", ",1,0") + "m2,today,Reds,Blues,0,0\n",
        appearances=APPEARANCES + "m2,p1,A,0,0\nm3,p1,A,0,0\n",
    )
    assert [it.split(": ")[0] for it in found] == [
        *("players.csv:3", "players.csv:4"),
        *("matches.csv:2", "matches.csv:3"),
        "appearances.csv:5",
    ]


def test_twenty_complaints_are_listed_and_the_others_counted(tmp_path: Path) -> None:
    """A message stays readable however bad the file is."""
    write(tmp_path, players="player_id,name\n" + "p1,Ada\n" * 24 + "p2,Ben\n")
    with pytest.raises(BadFilesError) as caught:
        read_league(tmp_path)
    lines = str(caught.value).splitlines()
    assert len(lines) == 21
    assert lines[0] == "players.csv:3: duplicate player_id 'p1', first on line 2"
    assert lines[-1] == "... and 3 more"
