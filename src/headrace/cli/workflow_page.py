"""A workflow and its nodes, on a page."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from rich.text import Text

from headrace.cli.output import print_json, say, show_relative, show_time, state_text, visible
from headrace.job import State

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime
    from uuid import UUID

    from headrace.started import WorkflowInfo, WorkflowNode

_MARKS = {
    State.SUCCEEDED: "✓", State.FAILED: "✗", State.CANCELLED: "-", State.RUNNING: "▶", State.BLOCKED: "…",
    State.QUEUED: "·", State.SCHEDULED: "·",
}  # fmt: skip
_LABEL_WIDTH = 13
_MOST_PARENTS = 3


@dataclasses.dataclass
class Line:
    """Nodes that look the same: a thousand of one task are one line."""

    node: WorkflowNode
    depth: int
    after: tuple[str, ...]
    count: int = 0


def print_workflow_page(info: WorkflowInfo, nodes: Sequence[WorkflowNode], now: datetime, *, as_json: bool) -> None:
    """Print everything that is known of a workflow.

    Args:
        info: The workflow.
        nodes: Its nodes.
        now: The database's time.
        as_json: As one document, for programs.
    """
    if as_json:
        print_json({**dataclasses.asdict(info), "nodes": [dataclasses.asdict(node) for node in nodes]})
        return
    say(Text.assemble((f"workflow {info.id}", "bold"), "  ", state_text(info.state)))
    for label, fact in _facts(info, now):
        say(Text.assemble((f"  {label:{_LABEL_WIDTH}}", "dim"), visible(fact)))
    say()
    for line in _lines(nodes):
        say(_drawn(line))


def _facts(info: WorkflowInfo, now: datetime) -> Iterator[tuple[str, str]]:
    if info.name:
        yield "name", info.name
    yield "done", f"{info.done} of {info.total}" + (f" ({info.done / info.total:.0%})" if info.total else "")
    counts = ("succeeded", "failed", "cancelled", "queued", "blocked")
    yield "jobs", ", ".join(f"{getattr(info, name)} {name}" for name in counts if getattr(info, name)) or "none"
    yield "on failure", info.policy
    yield "started", f"{show_time(info.created_at)} ({show_relative(info.created_at, now)})"
    if info.finished_at is not None:
        yield "finished", f"{show_time(info.finished_at)} ({show_relative(info.finished_at, now)})"
    if info.cancel_reason is not None:
        yield "cancelled", info.cancel_reason


def _lines(nodes: Sequence[WorkflowNode]) -> list[Line]:
    """The nodes below those that they wait for; barriers are only drawn through."""
    by_id = {node.id: node for node in nodes}
    depths: dict[UUID, int] = {}
    lines: dict[Any, Line] = {}
    for node in _in_order(nodes, by_id):
        depths[node.id] = max(
            (depths[p] + (by_id[p].kind != "barrier") for p in node.parents if p in depths), default=0
        )
        if node.kind == "barrier":
            continue
        after = tuple(_label(by_id[parent]) for parent in _through_barriers(node, by_id))
        same = (node.id,) if node.name else (depths[node.id], node.task, node.kind, node.state, node.error, after)
        line = lines.setdefault(same, Line(node, depths[node.id], after))
        line.count += 1
    return sorted(lines.values(), key=lambda line: (line.node.kind != "job", line.depth))


def _in_order(nodes: Sequence[WorkflowNode], by_id: dict[UUID, WorkflowNode]) -> Iterator[WorkflowNode]:
    """Parents first; ids alone do not say, since a job may be made before those that it waits for."""
    children: dict[UUID, list[WorkflowNode]] = {}
    open_parents = {node.id: sum(parent in by_id for parent in node.parents) for node in nodes}
    for node in nodes:
        for parent in node.parents:
            children.setdefault(parent, []).append(node)
    ready = [node for node in nodes if not open_parents[node.id]]
    for node in ready:
        yield node
        for child in children.get(node.id, ()):
            open_parents[child.id] -= 1
            if not open_parents[child.id]:
                ready.append(child)


def _through_barriers(node: WorkflowNode, by_id: dict[UUID, WorkflowNode]) -> list[UUID]:
    found: list[UUID] = []
    for parent in node.parents:
        if parent in by_id:
            found += by_id[parent].parents if by_id[parent].kind == "barrier" else [parent]
    return [parent for parent in found if parent in by_id]


def _label(node: WorkflowNode) -> str:
    return node.name or node.task or str(node.id)


def _drawn(line: Line) -> Text:
    node = line.node
    shown = Text.assemble(
        "  " * (line.depth + 1), (_MARKS[node.state], state_text(node.state).style), " ", visible(_label(node))
    )
    if line.count > 1:
        shown.append(f" x {line.count}")
    elif node.name and node.task:
        shown.append(f" ({visible(node.task)})", "dim")
    if node.kind != "job":
        shown.append(f" [{node.kind}]", "dim")
    shown.append("  ")
    shown.append_text(state_text(node.state))
    if line.after:
        labels = list(dict.fromkeys(line.after))
        more = len(labels) - _MOST_PARENTS
        after = ", ".join(visible(label) for label in labels[:_MOST_PARENTS]) + (
            f" and {more} more" if more > 0 else ""
        )
        shown.append(f"  after {after}" + (f" (x {len(line.after)})" if len(labels) < len(line.after) else ""), "dim")
    if node.error:
        shown.append(
            "  " + visible(node.error.strip().partition("\n")[0]), "red" if node.state is State.FAILED else "dim"
        )
    return shown
