"""orders.yaml as people write it: dates and times stay text, and each part knows its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.failure import Failure
from cli.orders import read_document

PLAN = """\
orders:
  - name: monthly-units
    report_type: units
    output_format: parquet
    properties: {file: properties.csv}
    every: month
    from: 2023-01-01
    ready: {time: 11:00, zone: America/Chicago, days_after: 1}
    restate: 2
limits: {open_jobs: 5, jobs_per_day: 200}
"""


def written(folder: Path, text: str) -> Path:
    """Write a plan."""
    path = folder / "orders.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_plan_is_read_as_json_values_with_its_lines(tmp_path: Path) -> None:
    """No date becomes a date, no time a number; the ids of a file stand where it is named."""
    (tmp_path / "properties.csv").write_text("property_id,name\n99001416,A\n99001470,B\n\n")
    document, lines = read_document(written(tmp_path, PLAN))
    (order,) = document["orders"]
    assert order["from"] == "2023-01-01"
    assert order["ready"] == {"time": "11:00", "zone": "America/Chicago", "days_after": 1}
    assert order["properties"] == [99001416, 99001470]
    assert document["limits"] == {"open_jobs": 5, "jobs_per_day": 200}
    assert lines["orders", 0, "from"] == 7
    assert lines["orders", 0, "ready", "zone"] == 8
    assert lines["limits", "open_jobs"] == 10


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("orders: [", r"orders.yaml:1: is no YAML"),
        (
            "limits: {}\norders: []\nlimits: {}",
            r"orders.yaml:3: `limits` stands there twice.*line 1",
        ),
        (PLAN, r"orders.yaml:5: .*properties.csv cannot be read"),
    ],
)
def test_what_cannot_be_read_is_told_with_its_line(tmp_path: Path, text: str, told: str) -> None:
    """So that a person need not search for it."""
    with pytest.raises(Failure, match=told):
        read_document(written(tmp_path, text))


def test_a_word_among_the_ids_is_told_with_its_line(tmp_path: Path) -> None:
    """The head of a file is one line, and no more."""
    (tmp_path / "properties.csv").write_text("id\n99001416\nninety\n")
    with pytest.raises(Failure, match=r"properties.csv:3: 'ninety' is no property id"):
        read_document(written(tmp_path, PLAN))


@pytest.mark.parametrize("text", ["", "[]", "just words", "orders: {a: 1}", "orders: [1, null]"])
def test_what_is_no_plan_is_left_to_the_judge(tmp_path: Path, text: str) -> None:
    """Here only YAML is read; what a plan may say, the stack's function knows."""
    read_document(written(tmp_path, text))
