"""What is drawn says its units, has gaps where nothing was seen, and is readable on any page."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests.bench.costs import Measured, plot
from tests.pictures.dashboard import picture
from tests.pictures.draw import draw

DOCS = Path(__file__).resolve().parents[2] / "docs"
SVG = "{http://www.w3.org/2000/svg}"
MEASURED = Measured(1.5, 1 << 31, 3, 70.0, "2026-11-26T12:29:24Z", "a machine")
WIDGET = {
    "properties": {
        "title": "Throughput",
        "stacked": False,
        "yAxis": {"left": {"label": "messages"}},
        "metrics": [["N", "Archived", {"stat": "Sum", "label": "archived"}]],
    }
}


def test_a_gap_is_not_bridged() -> None:
    """A chart with a value missing has its line in two pieces."""
    chart = picture([WIDGET], [], 0, 30)
    rows = chart["concat"][0]["layer"][0]["data"]["values"]
    for place in (1, 2, 3, 10, 11):
        rows[place]["v"] = 1
    lines = [
        path.attrib["d"]
        for path in ET.fromstring(draw(chart)).iter(f"{SVG}path")  # noqa: S314 - our own
        if path.attrib.get("stroke-width") == "1.6"
    ]
    assert [line.count("M") for line in lines] == [2]


def test_the_costs_say_their_units() -> None:
    """At the ticks of both axes; and where the plan changes, what it does from there on."""
    drawn = ET.fromstring(draw(plot(MEASURED)))  # noqa: S314 - our own
    texts = {"".join(text.itertext()) for text in drawn.iter(f"{SVG}text")}
    for words in ("1 MiB", "100 GiB", "$0.001", "10 s", "192 MB", "256 MiB a part"):
        assert any(words in text for text in texts), words


@pytest.mark.parametrize("name", ["costs.svg", "dashboard.svg"])
def test_the_pictures_in_the_docs_were_drawn_so(name: str) -> None:
    """Without outside references, described, for light and dark, and no wider than a page."""
    text = (DOCS / name).read_text(encoding="utf-8")
    picture = ET.fromstring(text)  # noqa: S314 - our own
    assert int(picture.attrib["width"]) <= 800
    assert picture.attrib["aria-label"]
    assert "prefers-color-scheme:dark" in text
    assert "href" not in text
    light = set(re.findall(r'(?:fill|stroke)="(#[0-9a-f]{3,6})"', text.partition("</style>")[2]))
    assert [colour for colour in light if f'[fill="{colour}"]' not in text] == []
