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

import urllib3

from cli.dashboard import fill_in, lines_of, names_of, read_widgets
from local.apartmentiq import SyntheticExport
from local.cloud import STACK_NAME, LocalCloud
from local.metrics import Datum, read_emf, read_invocations, read_queue
from tests.pictures.draw import draw

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cli.dashboard import Line
    from local.apartmentiq import VendorStandIn

__all__ = ["main", "picture"]

_PICTURE = Path(__file__).resolve().parents[2] / "docs" / "dashboard.svg"
_FUNCTIONS = ("ArchiveExportFunction", "ReceiveCallbackFunction", "ReconcileExportsFunction")
_SCHEDULED = {"source": "aws.events", "detail-type": "Scheduled Event", "detail": {}}
_BINS = 30
_WIDTH = 300  # of one widget, in pixels: two fit into 800 with all that is said beside them


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
        chart = picture(read_widgets(fill_in(names)), data, began, time.time())
    _PICTURE.write_text(draw(chart), encoding="utf-8")
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


def picture(
    widgets: Sequence[dict[str, Any]], data: Sequence[Datum], began: float, ended: float
) -> dict[str, Any]:
    """Return the dashboard as a chart of Vega-Lite, two widgets beside each other."""
    about = f"The dashboard, drawn from a local run of {ended - began:.0f} seconds"
    return {
        "description": about,
        "title": {
            "text": about,
            "subtitle": f"A point is {(ended - began) / _BINS:.1f} s; on AWS it is 5 minutes.",
        },
        "columns": 2,
        "spacing": {"row": 24, "column": 18},
        "concat": [_chart(widget, data, began, ended) for widget in widgets],
        "resolve": {"scale": {"color": "independent", "x": "shared"}},
    }


def _chart(
    widget: dict[str, Any], data: Sequence[Datum], began: float, ended: float
) -> dict[str, Any]:
    properties = widget["properties"]
    lines = list(lines_of(widget))
    points = {line.label: _points(line, data, began, ended) for line in lines}
    names = {
        label: label if any(value is not None for value in values) else f"{label} (none)"
        for label, values in points.items()
    }
    axes = [axis for axis in ("left", "right") if any(line.axis == axis for line in lines)]
    color = {
        "field": "line",
        "scale": {"domain": list(names.values())},
        "legend": {
            "orient": "bottom",
            "columns": 2,
            "title": None,
            "labelLimit": 165,
            "columnPadding": 6,
            "rowPadding": 1,
            "symbolType": "square",
            "symbolSize": 60,
        },
    }
    layers = []
    for axis in axes:
        told = properties["yAxis"].get(axis, {})
        rows = [
            # A bin without a datum is told as one: a line has a gap there.
            {"line": names[line.label], "second": (place + 0.5) / _BINS * (ended - began), "v": v}
            for line in lines
            if line.axis == axis
            for place, v in enumerate(points[line.label])
        ]
        values = {
            "orient": axis,
            "title": told.get("label"),
            "format": "~s",
            "tickCount": 4,
            "tickMinStep": 1,
        }
        # Stacked, a line of what was not counted would be at another's height: bars have gaps.
        mark: dict[str, Any] = (
            {"type": "bar", "width": _WIDTH / _BINS - 2}
            if properties["stacked"]
            else {"type": "line", "strokeWidth": 1.6, "point": {"size": 10}}
        )
        second = {"field": "second", "type": "quantitative", "title": "seconds of the run"}
        layers.append(
            {
                "data": {"values": rows},
                "mark": mark,
                "encoding": {
                    "x": {**second, "scale": {"domain": [0, ended - began], "nice": False}},
                    "y": {"field": "v", "type": "quantitative", "axis": values},
                    "color": color,
                },
            }
        )
    title = {"text": properties["title"], "fontSize": 12}
    both = {"resolve": {"scale": {"y": "independent"}}}
    return {"title": title, "width": _WIDTH, "height": 130, "layer": layers, **both}


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


if __name__ == "__main__":
    main()
