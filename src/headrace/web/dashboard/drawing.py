"""Workflows as drawings, laid out here so that they need no script: a graph of nodes, a waterfall of their times."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from uuid import UUID

from headrace.job import JobInfo, State

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from headrace.started import WorkflowNode

NODE_WIDTH, NODE_HEIGHT, GAP_X, GAP_Y, MARGIN = 186, 42, 54, 12, 18
MOST_IN_A_LAYER = 14
"""More of them that look the same are drawn as one."""
MOST_ROWS = 80
WATERFALL_WIDTH, LABEL_WIDTH, ROW_HEIGHT = 900, 190, 22
_WORST_FIRST = (
    State.FAILED, State.CANCELLED, State.RUNNING, State.QUEUED, State.SCHEDULED, State.BLOCKED, State.SUCCEEDED,
)  # fmt: skip
_LABEL_CHARS = 24


@dataclass(eq=False)
class Box:
    """A node of the drawing: one of the workflow's, or many that look the same."""

    nodes: list[WorkflowNode]
    layer: int
    parents: list[Box] = field(default_factory=list)
    x: float = 0
    y: float = 0

    @property
    def state(self) -> State:
        """The one that needs attention first."""
        states = {node.state for node in self.nodes}
        return next(state for state in _WORST_FIRST if state in states)

    @property
    def label(self) -> str:
        """What it is called."""
        first = self.nodes[0]
        name = first.name if len(self.nodes) == 1 and first.name else first.task or first.name or first.kind
        return _cut(name)

    @property
    def under(self) -> str:
        """The line below its name."""
        if len(self.nodes) > 1:
            return _cut(", ".join(f"{count} {state}" for state, count in self.counts()))
        node = self.nodes[0]
        return _cut(node.kind.replace("_", " ") if node.kind != "job" else str(node.state))

    @property
    def title(self) -> str:
        """What a pointer over it sees."""
        node = self.nodes[0]
        parts = [node.name, node.task, str(self.state), node.error]
        return " · ".join(part for part in parts if part)

    @property
    def job_id(self) -> UUID | None:
        """Its job, if it is one."""
        return self.nodes[0].id if len(self.nodes) == 1 and self.nodes[0].task else None

    def counts(self) -> list[tuple[State, int]]:
        """How many are in which state."""
        counted = Counter(node.state for node in self.nodes)
        return [(state, counted[state]) for state in _WORST_FIRST if counted[state]]


@dataclass(frozen=True)
class Graph:
    """A drawing and its size."""

    boxes: list[Box]
    edges: list[tuple[str, State]]
    width: float
    height: float


def draw_graph(nodes: Sequence[WorkflowNode]) -> Graph:
    """Lay out a workflow from left to right: each node after those that it waits for."""
    boxes = _boxes(nodes)
    layers: dict[int, list[Box]] = {}
    for box in boxes:
        layers.setdefault(box.layer, []).append(box)
    tallest = max((len(layer) for layer in layers.values()), default=0)
    height = 2 * MARGIN + tallest * (NODE_HEIGHT + GAP_Y) - GAP_Y
    for number, layer in sorted(layers.items()):
        layer.sort(key=lambda box: sum(parent.y for parent in box.parents) / max(1, len(box.parents)))
        top = (height - len(layer) * (NODE_HEIGHT + GAP_Y) + GAP_Y) / 2
        for place, box in enumerate(layer):
            box.x, box.y = MARGIN + number * (NODE_WIDTH + GAP_X), top + place * (NODE_HEIGHT + GAP_Y)
    width = 2 * MARGIN + (max(layers, default=0) + 1) * (NODE_WIDTH + GAP_X) - GAP_X
    edges = [(_curve(parent, box), parent.state) for box in boxes for parent in box.parents]
    return Graph(boxes, edges, width, height)


def _boxes(nodes: Sequence[WorkflowNode]) -> list[Box]:
    by_id, parents = {node.id: node for node in nodes}, parents_of(nodes)
    depths = _depths(nodes, parents)
    last = max(depths.values(), default=-1)
    by_look: dict[object, Box] = {}
    box_of: dict[UUID, Box] = {}
    crowded = Counter(depths.values())
    for node in sorted((by_id[each] for each in parents), key=lambda node: depths[node.id]):
        layer = depths[node.id] if node.kind == "job" else last + 1
        before = list(dict.fromkeys(box_of[parent] for parent in parents[node.id] if parent in box_of))
        alone = crowded[depths[node.id]] <= MOST_IN_A_LAYER or node.kind != "job"
        look: object = node.id if alone else (layer, node.task, tuple(id(box) for box in before))
        box = by_look.setdefault(look, Box([], layer, before))
        box.nodes.append(node)
        box_of[node.id] = box
    return list(by_look.values())


def parents_of(nodes: Sequence[WorkflowNode]) -> dict[UUID, list[UUID]]:
    """What each node waits for, through barriers, which are no jobs and are left out."""
    by_id = {node.id: node for node in nodes}
    return {node.id: _through_barriers(node, by_id) for node in nodes if node.kind != "barrier"}


def _through_barriers(node: WorkflowNode, by_id: dict[UUID, WorkflowNode]) -> list[UUID]:
    found: list[UUID] = []
    waiting = list(node.parents)
    while waiting:
        parent = by_id.get(waiting.pop())
        if parent is not None and parent.kind == "barrier":
            waiting += parent.parents
        elif parent is not None:
            found.append(parent.id)
    return found


def _depths(nodes: Sequence[WorkflowNode], parents: dict[UUID, list[UUID]]) -> dict[UUID, int]:
    """How far each is from the start; parents first, since ids alone do not say."""
    children: dict[UUID, list[UUID]] = {}
    left = {each: len(before) for each, before in parents.items()}
    for each, before in parents.items():
        for parent in before:
            children.setdefault(parent, []).append(each)
    depths = {each: 0 for each, count in left.items() if not count}
    ready = list(depths)
    for each in ready:
        for child in children.get(each, ()):
            depths[child] = max(depths.get(child, 0), depths[each] + 1)
            left[child] -= 1
            if not left[child]:
                ready.append(child)
    return {node.id: depths.get(node.id, 0) for node in nodes if node.id in parents}


def _curve(parent: Box, child: Box) -> str:
    x1, y1 = parent.x + NODE_WIDTH, parent.y + NODE_HEIGHT / 2
    x2, y2 = child.x, child.y + NODE_HEIGHT / 2
    middle = (x1 + x2) / 2
    return f"M{x1:.0f} {y1:.0f}C{middle:.0f} {y1:.0f} {middle:.0f} {y2:.0f} {x2:.0f} {y2:.0f}"


def _cut(text: str) -> str:
    return text if len(text) <= _LABEL_CHARS else text[: _LABEL_CHARS - 1] + "…"


@dataclass(frozen=True)
class Bar:
    """One job's time in the waterfall: its wait, and its run."""

    label: str
    job_id: UUID
    state: State
    y: float
    waits_x: float
    runs_x: float
    wait_width: float
    run_width: float
    took_s: float | None


@dataclass(frozen=True)
class Waterfall:
    """When which job ran.

    Attributes:
        bars: From top to bottom in the order of their start.
        height: Of the drawing.
        marks: Where the time is shown, and the seconds there.
        left_out: How many jobs are not drawn.
    """

    bars: list[Bar]
    height: float
    marks: list[tuple[float, float]]
    left_out: int


def draw_waterfall(nodes: Sequence[WorkflowNode], jobs: Sequence[JobInfo], start: datetime, end: datetime) -> Waterfall:
    """The times of a workflow's jobs."""
    names = {node.id: node.name or node.task or "" for node in nodes}
    begun = sorted((job for job in jobs if job.claimed_at is not None), key=lambda job: (job.claimed_at, job.id))
    whole_s = max(0.001, (end - start).total_seconds())
    room = WATERFALL_WIDTH - LABEL_WIDTH - 70

    def place(moment: datetime) -> float:
        return LABEL_WIDTH + room * min(1.0, max(0.0, (moment - start).total_seconds() / whole_s))

    bars = [
        _bar(job, names.get(job.id, job.task), ROW_HEIGHT * number + 24, place, end)
        for number, job in enumerate(begun[:MOST_ROWS])
    ]
    marks = [(LABEL_WIDTH + room * part / 4, whole_s * part / 4) for part in range(5)]
    return Waterfall(bars, ROW_HEIGHT * len(bars) + 34, marks, max(0, len(begun) - MOST_ROWS))


def _bar(job: JobInfo, label: str, y: float, place: object, end: datetime) -> Bar:
    assert callable(place)
    assert job.claimed_at is not None
    due, until = max(job.run_at, job.created_at), job.finished_at or end
    waits_x, runs_x = place(min(due, job.claimed_at)), place(job.claimed_at)
    return Bar(
        label=_cut(label), job_id=job.id, state=job.state, y=y, waits_x=waits_x, runs_x=runs_x,
        wait_width=max(0.0, runs_x - waits_x), run_width=max(2.0, place(until) - runs_x),
        took_s=(until - job.claimed_at).total_seconds(),
    )  # fmt: skip


def polyline(values: Sequence[float | None], width: float = 120, height: float = 26) -> str:
    """A small curve without axes: the path of an SVG."""
    top = max((value for value in values if value is not None), default=0) or 1
    step = width / max(1, len(values) - 1)
    return "".join(_points(values, step, height, top))


def _points(values: Sequence[float | None], step: float, height: float, top: float) -> Iterator[str]:
    drawn = False
    for place, value in enumerate(values):
        if value is None:
            drawn = False
            continue
        yield f"{'L' if drawn else 'M'}{place * step:.1f} {height - 2 - (height - 4) * value / top:.1f}"
        drawn = True
