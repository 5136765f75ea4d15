"""Workflows, statement by statement: who waits for whom, and what becomes of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import psycopg
import pytest

from tests.store.harness import ended
from tests.store.workflows import Graph, lies

if TYPE_CHECKING:
    from tests.store.harness import Store

DIAMOND = {"a": [], "b": ["a"], "c": ["a"], "d": ["b", "c"]}


@pytest.fixture
def graph(store: Store) -> Graph:
    """A workflow that is not started yet."""
    return Graph(store)


def test_a_job_runs_when_all_that_it_waits_for_have_succeeded(store: Store, graph: Graph) -> None:
    """A diamond runs in three rounds; its counts are right after each; it has succeeded at the end."""
    worker = store.worker()
    graph.start(DIAMOND)
    rounds = []
    for blocked, queued, succeeded in ((3, 1, 0), (1, 2, 1), (0, 1, 3), (0, 0, 4)):
        assert graph.advance() == []
        row = graph.row()
        assert (row["blocked"], row["queued"], row["succeeded"]) == (blocked, queued, succeeded)
        assert lies(store) == []
        rounds.append(graph.run(worker))
    assert rounds == [["a"], ["b", "c"], ["d"], []]
    assert graph.row()["state"] == "succeeded"


def test_parents_that_end_in_one_statement_count_one_by_one(store: Store, graph: Graph) -> None:
    """Three parents of one child, settled together: an UPDATE ... FROM that joined them would count one (ENGINE 8)."""
    worker = store.worker()
    graph.start({"a": [], "b": [], "c": [], "d": ["a", "b", "c"]})
    assert graph.run(worker) == ["a", "b", "c"]
    graph.advance()
    assert graph.run(worker) == ["d"]


def test_stop_cancels_what_depends_and_names_the_node(store: Store, graph: Graph) -> None:
    """What waits for a failed node, however far, is cancelled and says which one failed; the rest goes on."""
    worker = store.worker()
    graph.start({**DIAMOND, "e": ["d"], "other": ["c"]})
    graph.run(worker)
    graph.advance()
    graph.run(worker, b="failed")
    graph.advance()
    assert graph.states() == {"a": "succeeded", "b": "failed", "c": "succeeded", "d": "cancelled", "e": "cancelled",
                              "other": "queued"}  # fmt: skip
    assert graph.error("d") == graph.error("e") == 'node "b" failed'
    assert graph.row()["state"] == "running"
    graph.run(worker)
    graph.advance()
    assert graph.row() == {"state": "failed", "blocked": 0, "queued": 0, "succeeded": 3, "failed": 1, "cancelled": 2}
    assert lies(store) == []


def test_continue_runs_what_depends_all_the_same(store: Store, graph: Graph) -> None:
    """A failed or cancelled parent is one that is over; the workflow as a whole has failed."""
    worker = store.worker()
    graph.start(DIAMOND, "continue")
    graph.run(worker)
    graph.advance()
    graph.run(worker, b="failed", c="cancelled")
    graph.advance()
    assert graph.run(worker) == ["d"]
    graph.advance()
    assert graph.row() == {"state": "failed", "blocked": 0, "queued": 0, "succeeded": 2, "failed": 1, "cancelled": 1}


@pytest.mark.parametrize(
    ("policy", "failing", "states"),
    [("stop", False, "succeeded"), ("stop", True, "cancelled"), ("continue", True, "succeeded")],
)
def test_a_barrier_stands_for_many(store: Store, graph: Graph, policy: str, failing: bool, states: str) -> None:
    """Nodes after a barrier wait for all before it; it has no job, is not counted, and passes on what failed."""
    worker = store.worker()
    graph.start({"a": [], "b": [], "|": ["a", "b"], "c": ["|"], "d": ["|"]}, policy, barriers={"|"})
    graph.run(worker, a="failed" if failing else "succeeded")
    graph.advance()
    graph.run(worker)
    graph.advance()
    found = graph.states()
    assert {found["c"], found["d"]} == {states}
    assert sum(n for n in graph.row().values() if isinstance(n, int)) == 4
    if states == "cancelled":
        assert graph.error("c") == 'node "a" failed'
    assert lies(store) == []


def test_a_retry_that_waits_is_no_end(store: Store, graph: Graph) -> None:
    """Retried, snoozed, handed back, parked and lost attempts release nobody."""
    worker = store.worker()
    graph.start({"a": [], "b": ["a"]}, max_attempts=5)
    for outcome in ("retried", "snoozed", "handed_back"):
        attempt = graph.claim(worker, "a")
        store.settle(worker, ended(attempt, outcome))
        graph.advance()
    attempt = graph.claim(worker, "a")
    store.end_lease(worker)
    store.rescue()
    graph.advance()
    assert graph.states() == {"a": "queued", "b": "blocked"}
    assert lies(store) == []


def test_a_rescue_that_gives_up_counts_as_failed(store: Store, graph: Graph) -> None:
    """A job that killed too many workers is failed for its workflow, too."""
    graph.start({"a": [], "b": ["a"]})
    graph.claim(store.worker(), "a")
    for _ in range(3):
        store.ask("delete from headrace.worker")
        store.rescue()
        store.claim_suspect(store.worker())
    graph.advance()
    assert graph.states() == {"a": "failed", "b": "cancelled"}
    assert lies(store) == []


def test_an_operator_cancels_and_deletes_nodes(store: Store, graph: Graph) -> None:
    """A cancelled node, and one that was deleted before it ended, are cancelled for those that wait for them."""
    graph.start({"a": [], "b": ["a"], "x": [], "y": ["x"]})
    store.cancel(graph.ids["a"])
    store.delete(graph.ids["x"])
    graph.advance()
    assert graph.states() == {"a": "cancelled", "b": "cancelled", "x": "cancelled", "y": "cancelled"}
    assert graph.error("b") == 'node "a" was cancelled'
    assert graph.row()["state"] == "cancelled"
    assert lies(store) == []


def test_all_is_cancelled(store: Store, graph: Graph) -> None:
    """What waits goes at once, with the reason; what runs is asked to stop; nothing that comes later starts."""
    worker = store.worker()
    graph.start({**DIAMOND, "other": []})
    attempt, _ = store.claim(worker, 2)
    assert store.value("cancel_workflow", id=graph.id, reason="enough") == "cancelled"
    assert graph.states() == {"a": "running", "b": "cancelled", "c": "cancelled", "d": "cancelled", "other": "running"}
    assert graph.error("d") == "enough"
    assert store.rows("list_cancel_requests", ids=[attempt.id]) == [(attempt.id, "enough")]
    with pytest.raises(psycopg.DatabaseError, match="is cancelled: nothing can be added"):
        graph.add({"late": []})
    store.settle(worker, ended(attempt, "retried"))
    store.end_lease(worker)
    store.rescue()
    graph.advance()
    assert graph.row()["state"] == "cancelled"
    assert store.value("cancel_workflow", id=graph.id, reason="again") == "finished"
    assert store.value("cancel_workflow", id=store.new_id(), reason="who") == "unknown"
    assert lies(store) == []


def test_a_retry_of_the_workflow_runs_what_did_not_succeed(store: Store, graph: Graph) -> None:
    """Failed nodes run again, those cancelled for them wait again, what succeeded stays; then it may succeed as a whole."""
    worker = store.worker()
    graph.start({**DIAMOND, "|": ["d", "b"], "e": ["|"], "f": ["|"]}, barriers={"|"}, callbacks=True)
    graph.run(worker)
    graph.advance()
    graph.run(worker, b="failed")
    graph.advance()
    assert graph.row()["state"] == "failed"
    retried = {row[0] for row in store.rows("retry_workflow", id=graph.id)}
    assert retried == {graph.ids[name] for name in "bdef"}
    assert graph.states() == {"a": "succeeded", "b": "queued", "c": "succeeded", "d": "blocked", "|": "blocked",
                              "e": "blocked", "f": "blocked"}  # fmt: skip
    assert graph.row()["state"] == "running"
    assert lies(store) == []
    for expected in (["b"], ["d"], ["e", "f"]):
        assert graph.run(worker) == expected
        graph.advance()
    assert graph.row()["state"] == "succeeded"
    assert sorted(graph.callbacks()) == ["on_failure", "on_finished", "on_finished", "on_success"]
    assert lies(store) == []


def test_a_retry_of_a_node_goes_through_its_workflow(store: Store, graph: Graph) -> None:
    """A node that an operator retries waits for its parents; those that wait for it wait again; the workflow goes on."""
    worker = store.worker()
    graph.start({"a": [], "b": ["a"], "c": [], "d": ["a", "c"]}, "continue")
    _, c = store.claim(worker, 1), None
    a = store.ask("select id::text, run from headrace.job where state = 'running'")
    assert [row[0] for row in a] == [graph.ids["a"]]
    from tests.store.harness import Claimed

    store.settle(worker, ended(Claimed(*a[0]), "failed"))
    graph.advance()
    assert graph.states() == {"a": "failed", "b": "queued", "c": "queued", "d": "blocked"}
    assert store.retry(graph.ids["a"]) == [graph.ids["a"]]
    assert graph.states()["a"] == "blocked"
    graph.advance()
    assert graph.states() == {"a": "queued", "b": "queued", "c": "queued", "d": "blocked"}
    assert lies(store) == []
    graph.run(worker)
    graph.advance()
    assert graph.run(worker) == ["d"]
    graph.advance()
    assert graph.row()["state"] == "succeeded"
    assert lies(store) == []
    assert c is None


def test_a_doomed_node_that_is_retried_alone_is_cancelled_again(store: Store, graph: Graph) -> None:
    """Under `stop` nothing runs after a node that failed, whoever asks: the failed one has to run again first."""
    worker = store.worker()
    graph.start({"a": [], "b": ["a"], "c": ["b"]})
    graph.run(worker, "failed")
    graph.advance()
    store.retry(graph.ids["b"], graph.ids["c"])
    graph.advance()
    assert graph.states() == {"a": "failed", "b": "cancelled", "c": "cancelled"}
    assert graph.error("b") == graph.error("c") == 'node "a" failed'
    assert lies(store) == []


def test_callbacks_are_enqueued_once_when_all_is_over(store: Store, graph: Graph) -> None:
    """on_finished always, on_success or on_failure by how it ended; they belong to the workflow, but are not of it."""
    worker = store.worker()
    graph.start({"a": [], "b": []}, "continue", callbacks=True)
    attempt, other = store.claim(worker, 2)
    store.settle(worker, ended(attempt))
    graph.advance()
    assert graph.callbacks() == []
    store.settle(worker, ended(other))
    graph.advance()
    graph.advance()
    assert sorted(graph.callbacks()) == ["on_finished", "on_success"]
    jobs = store.ask("select task, queue, state::text, workflow_id::text from headrace.job")
    assert jobs == [("callback", "callbacks", "queued", graph.id)] * 2
    callbacks = store.claim(worker, 10, "callbacks")
    store.settle(worker, ended(callbacks[0]), ended(callbacks[1], "failed"))
    graph.advance()
    assert graph.row()["state"] == "succeeded"
    assert lies(store) == []


def test_a_callback_fits_into_a_full_queue(store: Store, graph: Graph) -> None:
    """A queue's bound holds for callers: a workflow that is over does not hang on it."""
    store.ask("insert into headrace.queue (name, max_queued) values ('callbacks', 0)")
    worker = store.worker()
    graph.start({"a": []}, callbacks=True)
    graph.run(worker)
    graph.advance()
    assert len(graph.callbacks()) == 2


def test_jobs_are_added_to_a_workflow_that_runs(store: Store, graph: Graph) -> None:
    """Free ones run at once, others wait for nodes that are there, finished or not; counts follow."""
    worker = store.worker()
    graph.start({"a": [], "b": []}, callbacks=True)
    a, b = store.claim(worker, 2)
    store.settle(worker, ended(a))
    graph.add({"free": [], "after a": ["a"], "after b": ["b"], "after both": ["after a", "b"]})
    graph.advance()
    assert graph.states() == {"a": "succeeded", "b": "running", "free": "queued", "after a": "queued",
                              "after b": "blocked", "after both": "blocked"}  # fmt: skip
    assert graph.row() == {"state": "running", "blocked": 2, "queued": 3, "succeeded": 1, "failed": 0, "cancelled": 0}
    store.settle(worker, ended(b, "failed"))
    graph.run(worker)
    graph.advance()
    assert graph.states()["after b"] == graph.states()["after both"] == "cancelled"
    assert graph.row()["state"] == "failed"
    assert sorted(graph.callbacks()) == ["on_failure", "on_finished"]
    assert lies(store) == []


def test_nothing_is_added_to_a_finished_workflow(store: Store, graph: Graph) -> None:
    """It is refused, and so are workflows and nodes that do not exist."""
    graph.start({"a": []})
    with pytest.raises(psycopg.DatabaseError, match="has no node"):
        store.rows("add_to_workflow", id=graph.id, jobs="[]",
                   nodes=json.dumps([{"id": store.new_id(), "kind": "barrier", "after": [store.new_id()]}]))  # fmt: skip
    with pytest.raises(psycopg.DatabaseError, match='no node named "x"'):
        store.rows("add_to_workflow", id=graph.id, jobs="[]",
                   nodes=json.dumps([{"id": store.new_id(), "kind": "barrier", "after_names": ["x"]}]))  # fmt: skip
    graph.run(store.worker())
    graph.advance()
    for unfit, words in ((graph, "is finished"), (Graph(store), "there is no workflow")):
        with pytest.raises(psycopg.DatabaseError, match=words) as refusal:
            unfit.add({"late": []})
        assert refusal.value.sqlstate == "HR004"
    assert store.one("select count(*) from headrace.job") == 0


def test_results_are_read_as_arguments(store: Store, graph: Graph) -> None:
    """Of one node, of all parents in order, of a list; null where there is none; kept whatever becomes of the history."""
    worker = store.worker()
    names = ["a", "b", "c", "d"]
    ids = {name: store.new_id() for name in names}
    inputs = {
        "one": {"node": ids["a"]},
        "all": {"each": ids["d"]},
        "some": {"list": [{"node": ids["c"]}, {"each": ids["d"]}]},
    }
    jobs = [{"id": ids[name], "task": "t", "queue": "q"} for name in names]
    nodes = [{"id": ids[name], "feeds": True} for name in "abc"]
    nodes.append({"id": ids["d"], "after": [ids["c"], ids["a"], ids["b"]], "inputs": inputs})
    store.rows("start_workflow", id=graph.id, name=None, policy="continue", callbacks=None, jobs=json.dumps(jobs),
               nodes=json.dumps(nodes))  # fmt: skip
    a, b, c = store.claim(worker, 3)
    store.settle(worker, ended(a, result='{"x": 1}'), ended(b, "failed", result=None), ended(c))
    store.delete(a.id, b.id, c.id)
    graph.advance()
    (row,) = store.claimed_rows(worker, {"q": 1})
    assert json.loads(row[-1])["inputs"] == inputs
    found = {key: json.loads(value) for key, value in store.rows("read_inputs", id=ids["d"])}
    assert store.one("select headrace.read_input(%s, %s)", [store.new_id(), json.dumps(inputs["one"])]) is None
    assert found == {"one": {"x": 1}, "all": [None, {"x": 1}, None], "some": [None, [None, {"x": 1}, None]]}


def test_a_released_job_waits_for_its_own_time(store: Store, graph: Graph) -> None:
    """A delay counts from the release; a time that has not come yet is kept."""
    worker = store.worker()
    a, b, c = store.new_id(), store.new_id(), store.new_id()
    far = "2100-01-01T00:00:00+00:00"
    jobs = [{"id": a, "task": "t", "queue": "q"}, {"id": b, "task": "t", "queue": "q", "delay_s": 60},
            {"id": c, "task": "t", "queue": "q", "run_at": far}]  # fmt: skip
    nodes = [{"id": a}, {"id": b, "after": [a], "delay_s": 60}, {"id": c, "after": [a]}]
    store.rows("start_workflow", id=graph.id, name=None, policy="stop", callbacks=None, jobs=json.dumps(jobs),
               nodes=json.dumps(nodes))  # fmt: skip
    store.settle(worker, ended(store.claim(worker)[0]))
    with store.conn.transaction():
        graph.advance()
        ((wait_s, state),) = store.ask(
            "select extract(epoch from run_at - now())::float8, state::text from headrace.job where id = %s", [b]
        )
        assert (wait_s, state) == (60, "scheduled")
    assert store.ask("select state::text, run_at = %s from headrace.job where id = %s", [far, c]) == [
        ("scheduled", True)
    ]
    assert store.promote("2050-01-01") == 1


def test_a_repeated_start_or_addition_changes_nothing(store: Store, graph: Graph) -> None:
    """So that one whose answer was lost can be sent again."""
    ids = graph.start({"a": [], "b": ["a"]}).ids.copy()
    jobs = [{"id": job_id, "task": "task", "queue": "q"} for job_id in ids.values()]
    nodes = [{"id": job_id} for job_id in ids.values()]
    for name, more in (
        ("start_workflow", {"name": None, "policy": "stop", "callbacks": None}),
        ("add_to_workflow", {}),
    ):
        store.rows(name, id=graph.id, jobs=json.dumps(jobs), nodes=json.dumps(nodes), **more)
    graph.advance()
    assert graph.states() == {"a": "queued", "b": "blocked"}
    assert lies(store) == []
    store.value("cancel_workflow", id=graph.id, reason="r")
    store.rows("add_to_workflow", id=graph.id, jobs=json.dumps(jobs), nodes=json.dumps(nodes))


def test_large_arguments_of_nodes_are_kept_apart(store: Store, graph: Graph) -> None:
    """Above 2 kB they live in the payload, as everywhere."""
    graph.start({"a": [], "b": ["a"]}, args={"blob": "x" * 3000})
    assert store.one("select count(*) from headrace.job where args is null") == 2
    assert {len(store.find(job_id)["args"]["blob"]) for job_id in graph.ids.values()} == {3000}


def test_old_workflows_are_forgotten_whole(store: Store, graph: Graph) -> None:
    """A week after they have finished, those that failed after 90 days; a job of one that is retried later just runs."""
    worker = store.worker()
    graph.start(DIAMOND)
    failed = Graph(store).start({"x": []})
    running = Graph(store).start({"y": [], "z": ["y"]})
    y = running.ids["y"]
    store.ask("update headrace.job set priority = -1 where id = %s", [y])
    for _ in range(3):
        claimed = [attempt for attempt in store.claim(worker, 2) if attempt.id != y]
        store.settle(worker, *(ended(a, "failed" if a.id == failed.ids["x"] else "succeeded") for a in claimed))
        graph.advance()
        failed.advance()
    assert (graph.row()["state"], failed.row()["state"]) == ("succeeded", "failed")
    for days, left in ((6, 3), (8, 2), (89, 2), (91, 1)):
        at = store.one("select (now() + make_interval(days => %s))::text", [days])
        store.rows("prune_workflows", now=at, chunk=10)
        assert store.one("select count(*) from headrace.workflow") == left
    assert store.one("select count(*) from headrace.workflow_node") == 2
    assert store.one("select count(*) from headrace.dependency") == 1
    store.retry(failed.ids["x"])
    assert store.state(failed.ids["x"]) == "queued"
