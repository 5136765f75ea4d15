"""What chains, groups and workflows become: who waits for whom, and takes whose result."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import pytest
from pydantic import BeforeValidator

from headrace import (
    Batch,
    Chain,
    ConfigurationError,
    Group,
    Headrace,
    InvalidArguments,
    Workflow,
    chain,
    group,
    previous,
)
from headrace.workflow import as_workflow

if TYPE_CHECKING:
    from headrace._plan import Plan

app = Headrace("postgresql://nowhere/never")


@app.task(name="one")
async def one(x: Any = None) -> int:
    return 1


@app.task(name="add")
async def add(numbers: list[int], factor: int = 1, *, label: str = "") -> int:
    return sum(numbers) * factor


def waits(plan: Plan) -> list[list[int]]:
    """For each node, in order, the numbers of those that it waits for."""
    numbers = {node: number for number, node in enumerate(plan.nodes)}
    return [[numbers[parent] for parent in node.get("after", [])] for node in plan.nodes.values()]


def numbered(plan: Plan, source: Any) -> Any:
    """Where an argument comes from, with nodes' numbers for their ids."""
    numbers = {node: number for number, node in enumerate(plan.nodes)}
    if "list" in source:
        return [numbered(plan, inner) for inner in source["list"]]
    return numbers[source["node"]] if "node" in source else {"each": numbers[source["each"]]}


def inputs(plan: Plan) -> dict[int, dict[str, Any]]:
    """The arguments of nodes that are results of others."""
    return {
        number: {name: numbered(plan, source) for name, source in node["inputs"].items()}
        for number, node in enumerate(plan.nodes.values())
        if "inputs" in node
    }


def feeding(plan: Plan) -> list[int]:
    """The nodes whose results are kept."""
    return [number for number, node in enumerate(plan.nodes.values()) if node.get("feeds")]


def test_a_chain_is_one_after_the_other() -> None:
    """Each waits for the one before it, and may take its result."""
    plan = as_workflow(chain(one.job(), one.job(previous()), one.job(x=previous()))).plan()
    assert waits(plan) == [[], [0], [1]]
    assert inputs(plan) == {1: {"x": 0}, 2: {"x": 1}}
    assert feeding(plan) == [0, 1]


def test_a_group_and_then() -> None:
    """What comes after a group waits for all of it, and takes the list of its results through a barrier."""
    plan = as_workflow(group(one.job() for _ in range(3)).then(add.job(previous(), 2))).plan()
    assert waits(plan) == [[], [], [], [0, 1, 2], [3]]
    assert inputs(plan) == {4: {"numbers": {"each": 3}}}
    assert feeding(plan) == [0, 1, 2]
    assert plan.jobs[-1].args == '{"factor":2}'
    assert waits(as_workflow(group(one.job(), one.job()).then(one.job())).plan()) == [[], [], [0, 1]]


def test_many_after_many_go_through_one_barrier() -> None:
    """Two hundred dependencies and not ten thousand."""
    plan = as_workflow(chain(group(one.job() for _ in range(100)), group(one.job() for _ in range(100)))).plan()
    assert sum(len(parents) for parents in waits(plan)) == 200
    assert len(plan.nodes) == 201


def test_chains_in_groups_and_groups_in_chains() -> None:
    """A group in a group is one group; a chain in a group ends in its last; its first takes what came before the group."""
    inner = chain(one.job(previous()), one.job())
    plan = as_workflow(
        chain(one.job(), group(inner, group(one.job(), one.job(previous()))), add.job(previous()))
    ).plan()
    assert waits(plan) == [[], [0], [1], [0], [0], [2, 3, 4], [5]]
    assert inputs(plan) == {1: {"x": 0}, 4: {"x": 0}, 6: {"numbers": {"each": 5}}}
    assert feeding(plan) == [0, 2, 3, 4]
    assert isinstance(inner, Chain)


def test_named_nodes_take_results_by_name() -> None:
    """A result makes its taker wait; what nobody waits for is the outcome."""
    wf = Workflow("w")
    wf.add("a", one.job()).add("b", one.job())
    wf.add("many", group(one.job() for _ in range(2)), after="a")
    wf.add("sum", add.job(wf.result("many")), after=["b"])
    wf.add("last", one.job(previous()), after=["a", "many"])
    plan = wf.plan()
    assert waits(plan) == [[], [], [0], [0], [2, 3], [1, 4], [0, 4], [6]]
    assert inputs(plan) == {5: {"numbers": {"each": 4}}, 7: {"x": [0, {"each": 4}]}}
    assert set(plan.outcomes) == {"sum", "last"}
    assert [node.get("name") for node in plan.nodes.values() if node.get("name")] == ["a", "b", "sum", "last"]


def test_what_makes_no_sense_is_refused() -> None:
    """In words, where it is written."""
    job = one.job()
    wf = Workflow("w").add("a", one.job())
    refused: list[tuple[str, Any]] = [
        ("at least one job", lambda: group([])),
        ("is made of what task.job", lambda: chain(one)),  # type: ignore[arg-type]
        ("in the workflow twice", as_workflow(group(job, job)).plan),
        ("no job comes before it", as_workflow(chain(one.job(previous()))).plan),
        ("is a unique key|has a unique key", as_workflow(chain(one.options(unique="k").job())).plan),
        ('no node named "c" was added', lambda: wf.result("c")),
        ('no node named "c" was added', lambda: wf.add("b", one.job(), after="c")),
        ("was added already", lambda: wf.add("a", one.job())),
        ("1 to 200 characters", lambda: wf.add("", one.job())),
        ("must be one of stop, continue", lambda: Workflow(policy="go")),  # type: ignore[arg-type]
        ("has no jobs", Workflow("empty").plan),
        ("can take no results", lambda: Workflow(on_success=one.job(previous()))),
        ("on_failure has a unique key", lambda: Workflow(on_failure=one.options(unique="k").job())),
        ("can be started, not", lambda: as_workflow(one.job())),  # type: ignore[arg-type]
        ('takes the result of "a", which is no node', as_workflow(chain(one.job(wf.result("a")))).plan),
    ]
    for words, act in refused:
        with pytest.raises(ConfigurationError, match=words):
            act()


def test_known_arguments_are_validated_at_once() -> None:
    """Beside a result, every other argument has to fit when the job is made; what is missing is missed."""
    assert add.job(previous(), factor=3, label="x").args == '{"factor":3,"label":"x"}'
    job: Any = add.job
    refused: list[tuple[str, Any]] = [
        ('argument "factor"', lambda: job(previous(), factor="many")),
        ('argument "colour": there is no such parameter', lambda: job([1], colour=previous())),
        ('argument "numbers": field required', lambda: job(factor=previous())),
        ("not a part of one", lambda: job([1, previous()])),
        ("not a part of one", lambda: one.job({"deep": [previous()]})),
    ]
    for words, act in refused:
        with pytest.raises(InvalidArguments, match=words):
            act()


def test_no_conversion_takes_a_result_for_a_value() -> None:
    """A validator that makes a string, a truth or a list of anything cannot make one of a result that is not there."""
    for convert in (str, bool, list, int, len):

        async def handler(x: Any) -> None: ...

        handler.__annotations__["x"] = Annotated[Any, BeforeValidator(convert)]
        task = app.task(name=f"converts with {convert.__name__}")(handler)
        assert task.job(previous()).args == "{}"


def test_results_stay_out_of_plain_enqueues() -> None:
    """A job that takes a result cannot be enqueued by itself: it would run without it."""
    with pytest.raises(InvalidArguments, match=r"argument \"x\" is previous\(\), the result of another job: start it"):
        app.enqueue_many_sync([one.job(previous())], conn=None)


def test_a_batch_is_a_group_that_can_grow() -> None:
    """Its jobs wait for nothing; the same object is started once."""
    batch = Batch((one.job() for _ in range(3)), name="b", policy="continue", on_finished=one.job())
    assert waits(batch.plan()) == [[], [], []]
    flow = group(one.job())
    assert isinstance(flow, Group)
    assert as_workflow(flow).id == as_workflow(flow).id
