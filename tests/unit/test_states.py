"""The states of a job: one page, one enum, one type in SQL, and the statements that write them."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path

from headrace import State

STORE = Path(str(files("headrace"))) / "_store"
PAGE = (Path(__file__).parents[2] / "docs" / "states.md").read_text()
WRITES_STATE = re.compile(
    r"(?<![\w.])state = (?:\(?case|')|insert into headrace\.job(?:_history)? \(|^copy headrace\.job ", re.MULTILINE
)
OF_WORKFLOWS = {"reckon_changes", "advance_workflows"}
"""These write the states of workflows and their nodes, not of jobs."""
OF_OPERATIONS = {"take_operation", "run_chunk", "fail_operation", "cancel_operation"}
"""Operations have states of their own."""


def diagram() -> set[tuple[str, str]]:
    """The arrows of the page's diagram."""
    return set(re.findall(r"^ +(\S+) --> (\S+)$", PAGE, re.MULTILINE))


def table() -> dict[tuple[str, str], set[str]]:
    """The rows of the page's table: which statements make a transition."""
    rows = re.findall(r"^\| (\S+) \| (\S+) \|[^|]*\| (`[^|]*`) \|$", PAGE, re.MULTILINE)
    return {("[*]" if start == "-" else start, end): set(re.findall(r"`(\w+)`", by)) for start, end, by in rows}


def statements() -> dict[str, str]:
    """Every statement and function, by name."""
    texts: dict[str, str] = {}
    for path in [*(STORE / "queries").glob("*.sql"), *(STORE / "functions").glob("*.sql")]:
        name = re.sub(r"^\d+_", "", path.stem)
        texts[name] = texts.get(name, "") + path.read_text()
    return texts


def test_python_and_sql_have_the_same_states_in_the_same_order() -> None:
    """`State` and the enum of the first migration agree."""
    sql = (STORE / "migrations" / "0001_initial.sql").read_text()
    enum = re.search(r"create type headrace\.job_state as enum\s*\(([^)]*)\)", sql)
    assert enum
    assert re.findall(r"'(\w+)'", enum[1]) == [state.value for state in State]


def test_the_page_knows_the_same_states() -> None:
    """Every state is entered by some transition of the page, and the page has no others."""
    assert {end for _, end in diagram()} == {state.value for state in State}
    assert {start for start, _ in diagram()} <= {"[*]", *State}


def test_the_diagram_and_the_table_agree() -> None:
    """Each arrow has its row, and each row its arrow."""
    assert diagram() == set(table())


def test_final_states_are_left_only_by_a_retry() -> None:
    """Nothing but an operator's retry makes a finished job run again."""
    final = {state.value for state in State if state.final}
    assert final == {"succeeded", "failed", "cancelled"}
    assert {by for (start, _), names in table().items() if start in final for by in names} == {"retry_jobs"}


def test_the_table_names_exactly_the_statements_that_write_states() -> None:
    """A new statement that writes a state must be put on the page, and one that is gone taken off it."""
    writers = {name for name, text in statements().items() if WRITES_STATE.search(text)} - OF_WORKFLOWS - OF_OPERATIONS
    assert {by for names in table().values() for by in names} == writers


def test_each_statement_writes_the_states_that_the_table_says() -> None:
    """The state that a transition ends in is named in the text of the statement that makes it."""
    texts = statements()
    for (_, end), names in table().items():
        for name in names:
            assert end in texts[name] or name == "copy_jobs", f"{name} does not mention {end}"
