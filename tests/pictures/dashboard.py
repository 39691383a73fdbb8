"""`make dashboard-picture`: docs/dashboard.svg, the dashboard as a local run fills it.

A local stack works on some sixty jobs, good and bad, for about half a minute. What its functions
print as metrics, and what its queues hold, is drawn by the dashboard's own file; nothing is made
up, and what a local run cannot know stays empty.
"""

from __future__ import annotations

import math
import tempfile
import time
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape

import urllib3

from cli.dashboard import fill_in, lines_of, names_of, read_widgets
from local.apartmentiq import SyntheticExport
from local.cloud import STACK_NAME, LocalCloud
from local.metrics import Datum, read_emf, read_invocations, read_queue

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cli.dashboard import Line
    from local.apartmentiq import VendorStandIn

__all__ = ["draw", "main"]

_PICTURE = Path(__file__).resolve().parents[2] / "docs" / "dashboard.svg"
_FUNCTIONS = ("ArchiveExportFunction", "ReceiveCallbackFunction", "ReconcileExportsFunction")
_SCHEDULED = {"source": "aws.events", "detail-type": "Scheduled Event", "detail": {}}
_BINS = 30
_WIDTH, _HEIGHT = 420, 250  # of one widget
_LEFT, _TOP, _RIGHT, _PLOT_HEIGHT = 54, 34, 12, 110
_COLOURS = (
    *("#0969da", "#bc4c00", "#1a7f37", "#8250df", "#bf3989"),
    *("#9a6700", "#57606a", "#cf222e", "#1b7c83"),
)
_STYLE = """text { font: 11px system-ui, sans-serif; fill: #1f2328 }
.title { font-size: 13px; font-weight: 600 }
.paper { fill: #ffffff; stroke: #d1d9e0 }
.grid { stroke: #d1d9e0 }
.line { fill: none; stroke-width: 1.6 }"""


def main() -> None:
    """Run, collect, draw."""
    with (
        tempfile.TemporaryDirectory() as folder,
        LocalCloud(
            state_folder=Path(folder), parameters={"ReconcileSchedule": "rate(365 days)"}
        ) as cloud,
    ):
        began = time.time()
        data = _work_and_watch(cloud)
        names = names_of(STACK_NAME, cloud.stack.outputs, cloud.region)
        svg = draw(read_widgets(fill_in(names)), data, began, time.time())
    _PICTURE.write_text(svg, encoding="utf-8")
    print(  # noqa: T201 - for whoever runs it
        f"{_PICTURE}: drawn from {len(data)} data of a run of {time.time() - began:.0f} s"
    )


def _work_and_watch(cloud: LocalCloud) -> list[Datum]:
    queues: list[Datum] = []
    done = Event()

    def watch() -> None:
        while not done.wait(timeout=0.5):
            now = time.time()
            for url in (cloud.queue_url, cloud.dead_letter_queue_url):
                # looking uses up receives where a queue is worked on: only the counts, there
                look = url == cloud.dead_letter_queue_url
                queues.extend(read_queue(cloud.clients.sqs, url, now, look_inside=look))

    watcher = Thread(target=watch, name="watcher", daemon=True)
    watcher.start()
    try:
        _work(cloud)
    finally:
        done.set()
        watcher.join()
    data = queues
    for logical_id in _FUNCTIONS:
        pool = cloud.pool(logical_id)
        data = [*data, *read_emf(cloud.logs(logical_id))]
        data += read_invocations(pool.function.name, pool.invocations())
    return data


def _work(cloud: LocalCloud) -> None:
    """Let a day pass in half a minute: exports of all sizes, and all that goes wrong."""
    vendor = cloud.vendor
    assert vendor is not None
    pause = Event()
    for number in range(20):
        good = vendor.add_job(SyntheticExport(size_bytes=(number % 5 + 1) << 20, seed=number))
        cloud.send({"job_id": good.job_id})
        cloud.send({"job_id": vendor.add_job(b"small").job_id})
        if number % 3 == 0:
            cloud.send({"job_id": good.job_id})
            _call_back(cloud, vendor.add_job(b"called back").job_id)
        _something_wrong(cloud, vendor, number)
        if number % 6 == 5:
            vendor.add_job(b"nobody told of it")
            cloud.invoke(_SCHEDULED, "ReconcileExportsFunction")
        pause.wait(1.0)
    cloud.skip_waiting()
    pause.wait(3.0)
    cloud.invoke(_SCHEDULED, "ReconcileExportsFunction")


def _call_back(cloud: LocalCloud, job_id: str) -> None:
    with urllib3.PoolManager(ca_certs=str(cloud.ca_bundle), retries=False) as http:
        http.request("POST", str(cloud.callback_url), json={"job_id": job_id})


def _something_wrong(cloud: LocalCloud, vendor: VendorStandIn, number: int) -> None:
    match number % 5:
        case 0:
            late = vendor.add_job(b"late", completes_after_seconds=20)
            cloud.send({"job_id": late.job_id})
        case 1:
            cloud.send("not JSON")
        case 2:
            job = vendor.add_job(b"x")
            vendor.answer_next("results", status=500, job_id=job.job_id)
            cloud.send({"job_id": job.job_id})
        case 3:
            cloud.send({"job_id": vendor.add_job(None, status="cancelled").job_id})
        case _:
            job = vendor.add_job(b"x")
            vendor.forbid(job.job_id)
            cloud.put_event({"job_id": job.job_id})


def draw(
    widgets: Sequence[dict[str, Any]], data: Sequence[Datum], began: float, ended: float
) -> str:
    """Return the dashboard as an SVG, its columns and rows as in its own file."""
    columns, rows = 3, math.ceil(len(widgets) / 3)
    width, height = columns * _WIDTH, rows * _HEIGHT + 24
    about = f"The dashboard, drawn from a local run of {ended - began:.0f} seconds"
    size = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-label="{about}">',
        f"<title>{about}</title>",
        f"<style>\n{_STYLE}\n</style>",
    ]
    for number, widget in enumerate(widgets):
        x, y = number % columns * _WIDTH, number // columns * _HEIGHT
        parts.append(f'<g transform="translate({x} {y})">')
        parts += _draw_widget(widget, data, began, ended)
        parts.append("</g>")
    note = f"{about}; each point is {(ended - began) / _BINS:.1f} s. On AWS a point is 5 minutes."
    parts.append(f'<text x="8" y="{height - 8}">{escape(note)}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def _draw_widget(
    widget: dict[str, Any], data: Sequence[Datum], began: float, ended: float
) -> list[str]:
    properties = widget["properties"]
    series = [(line, _points(line, data, began, ended)) for line in lines_of(widget)]
    tops = {axis: _highest(series, axis) for axis in ("left", "right")}
    parts = [
        f'<rect class="paper" x="4" y="4" width="{_WIDTH - 8}" height="{_HEIGHT - 8}" rx="6"/>',
        f'<text class="title" x="14" y="23">{escape(properties["title"])}</text>',
    ]
    for share in (0, 0.5, 1):
        y = _TOP + _PLOT_HEIGHT * (1 - share)
        parts.append(
            f'<line class="grid" x1="{_LEFT}" y1="{y:.0f}" x2="{_WIDTH - _RIGHT}" y2="{y:.0f}"/>'
        )
        label = _amount(tops["left"] * share)
        parts.append(f'<text x="{_LEFT - 4}" y="{y + 4:.0f}" text-anchor="end">{label}</text>')
    for number, (line, points) in enumerate(series):
        colour = _COLOURS[number % len(_COLOURS)]
        parts += _draw_line(points, tops[line.axis], colour)
        parts.append(_legend(line, points, number, colour))
    return parts


def _highest(series: Sequence[tuple[Line, Sequence[float | None]]], axis: str) -> float:
    values = [v for line, points in series if line.axis == axis for v in points if v is not None]
    return max(values, default=0.0) or 1.0


def _draw_line(points: Sequence[float | None], top: float, colour: str) -> list[str]:
    step = (_WIDTH - _LEFT - _RIGHT) / (_BINS - 1)
    placed = [
        (_LEFT + index * step, _TOP + _PLOT_HEIGHT * (1 - value / top))
        for index, value in enumerate(points)
        if value is not None
    ]
    if not placed:
        return []
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in placed)
    x, y = placed[-1]
    return [
        f'<polyline class="line" stroke="{colour}" points="{path}"/>',
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="1.8" fill="{colour}"/>',
    ]


def _legend(line: Line, points: Sequence[float | None], number: int, colour: str) -> str:
    x, y = 16 + number % 2 * 200, _TOP + _PLOT_HEIGHT + 20 + number // 2 * 15
    known = any(value is not None for value in points)
    label = escape(line.label if known else f"{line.label} (none)")
    return (
        f'<rect x="{x}" y="{y - 8}" width="9" height="9" fill="{colour}"/>'
        f'<text x="{x + 13}" y="{y}">{label}</text>'
    )


def _points(line: Line, data: Sequence[Datum], began: float, ended: float) -> list[float | None]:
    bins: list[list[float]] = [[] for _ in range(_BINS)]
    for datum in data:
        if line.shows(datum) and began <= datum.at <= ended:
            place = int((datum.at - began) / (ended - began) * _BINS)
            bins[min(place, _BINS - 1)].append(datum.value)
    return [_statistic(line.statistic, values) if values else None for values in bins]


def _statistic(name: str, values: list[float]) -> float:
    """Return a statistic as CloudWatch names it; KeyError for one that is not drawn here."""
    if name.startswith("p"):
        rank = math.ceil(float(name[1:]) / 100 * len(values))
        return sorted(values)[max(0, rank - 1)]
    return {"Sum": sum(values), "Maximum": max(values)}[name]


def _amount(value: float) -> str:
    for size, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if value >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g}"


if __name__ == "__main__":
    main()
