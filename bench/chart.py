"""Results as one small SVG, drawn by hand: headrace beside the products, on light and dark backgrounds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from bench import peers
from bench.bars import RATE, WAL
from bench.results import OURS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.results import Results


@dataclass(frozen=True)
class Panel:
    """One of the small charts."""

    title: str
    scenario: str
    metric: str
    show: str
    largest: bool


PANELS = (
    Panel("Drain, jobs/s", "drain", RATE, "{:,.0f}", largest=True),
    Panel("Drain, two processes, jobs/s", "drain_two", RATE, "{:,.0f}", largest=True),
    Panel("Enqueue many, jobs/s", "enqueue_many", RATE, "{:,.0f}", largest=True),
    Panel("Latency, p99, ms (shorter is better)", "latency", "p99_ms", "{:.1f}", largest=False),
    Panel("Database CPU a job, µs (shorter is better)", "drain", "database_cpu_us_per_job", "{:,.0f}", largest=False),
    Panel("WAL a job, bytes (shorter is better)", "drain", WAL, "{:,.0f}", largest=False),
)

COLUMNS = 2
PANEL_WIDTH, GAP, MARGIN = 350, 30, 10
TITLE_HEIGHT, ROW_HEIGHT, BAR_HEIGHT, PANEL_GAP = 26, 20, 12, 20
NAME_WIDTH, VALUE_WIDTH = 92, 62
LEAST_BAR = 2
FOOT_HEIGHT = 22

STYLE = """
text { font: 12px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #57606a }
.title { font-weight: 600; fill: #24292f }
.ours { font-weight: 600; fill: #0969da }
.foot { font-size: 11px }
rect { fill: #afb8c1 }
rect.ours { fill: #218bff }
@media (prefers-color-scheme: dark) {
  text { fill: #9198a1 }
  .title { fill: #e6edf3 }
  .ours { fill: #58a6ff }
  rect { fill: #57606a }
  rect.ours { fill: #388bfd }
}
"""


def chart(results: Results) -> str:
    """The whole picture."""
    panels = [(panel, figures) for panel in PANELS if len(figures := _figures(results, panel)) > 1]
    body: list[str] = []
    top = MARGIN
    for start in range(0, len(panels), COLUMNS):
        line = panels[start : start + COLUMNS]
        for column, (panel, figures) in enumerate(line):
            body += _panel(panel, figures, MARGIN + column * (PANEL_WIDTH + GAP), top)
        top += TITLE_HEIGHT + ROW_HEIGHT * max(len(figures) for _, figures in line) + PANEL_GAP
    foot = _foot(results)
    body.append(f'<text class="foot" x="{MARGIN}" y="{top}">{escape(foot)}</text>')
    width, height = COLUMNS * PANEL_WIDTH + GAP + 2 * MARGIN, top + FOOT_HEIGHT
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}"'
        f' viewBox="0 0 {width} {height}" role="img">',
        f"<title>headrace beside its peers: {escape(foot)}</title>",
        f"<style>{STYLE}</style>",
        *body,
        "</svg>\n",
    ])  # fmt: skip


def _figures(results: Results, panel: Panel) -> list[tuple[str, float]]:
    """The products that have a figure, best first."""
    found = [
        (name, spread.median)
        for name in results.rows.get(panel.scenario, {})
        if peers.find(name).role != "reference" and (spread := results.spread(panel.scenario, name, panel.metric))
    ]
    return sorted(found, key=lambda pair: pair[1], reverse=panel.largest)


def _panel(panel: Panel, figures: list[tuple[str, float]], left: int, top: int) -> Iterator[str]:
    yield f'<text class="title" x="{left}" y="{top + BAR_HEIGHT}">{escape(panel.title)}</text>'
    most = max(value for _, value in figures)
    room = PANEL_WIDTH - NAME_WIDTH - VALUE_WIDTH
    for row, (name, value) in enumerate(figures):
        whose = ' class="ours"' if name == OURS else ""
        y = top + TITLE_HEIGHT + row * ROW_HEIGHT
        length = max(LEAST_BAR, room * value / most)
        bar = left + NAME_WIDTH
        yield f'<text{whose} x="{bar - 8}" y="{y + BAR_HEIGHT - 2}" text-anchor="end">{escape(name)}</text>'
        yield f'<rect{whose} x="{bar}" y="{y}" width="{length:.1f}" height="{BAR_HEIGHT}" rx="2"/>'
        shown = panel.show.format(value)
        yield f'<text{whose} x="{bar + length + 6:.1f}" y="{y + BAR_HEIGHT - 2}">{shown}</text>'


def _foot(results: Results) -> str:
    run = results.runs[-1]
    smoke = "smoke run, figures mean little; " if run["smoke"] else ""
    return (
        f"{smoke}no-op jobs, PostgreSQL {run['server']['server_version']}, fsync {run['server']['fsync']},"
        f" {run['machine']['cores']} cores for producer, worker and server, {run['date'][:10]}"
    )
