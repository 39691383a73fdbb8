"""How the demo looks, from fixed figures: on 80 and 140 columns, with bars and without.

The golden files are what a pipe gets, so that a change of the looks is seen in its diff. Written by
`WRITE_GOLDEN=1 .venv/bin/python -m pytest tests/unit/test_demo_screen.py`.
"""

from __future__ import annotations

import io
import os
import re
import time
from pathlib import Path

import pytest
from rich.console import Console
from rich.text import Text

from local.aws.traces import Segment, Trace
from local.demo_screen import (
    Copies,
    CopyJob,
    Finding,
    Letter,
    Phases,
    can_redraw,
    lake_table,
    next_steps,
    show_coverage,
    show_event,
    show_findings,
    show_letters,
    show_waterfall,
    size_text,
    speed_text,
)
from local.lake import LakeRow

GOLDEN = Path(__file__).parents[1] / "data" / "demo"
MIB = 1024 * 1024
JOB = "7d3f6c3c-586a-4f0f-8c8f-0f3a1d4b1c{:02}"
RENTS = "report_type=units/format=csv/start_date=2025-01-01/end_date=2025-01-31/"
# What a terminal's own theme defines: bold, dim, underlined, red, green, blue, magenta, cyan. Not
# white, black, yellow and the bright ones, which are lost on one ground or the other.
READABLE = {"0", "1", "2", "4", "31", "32", "34", "35", "36"}


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        """Return the seconds."""
        return self.now


def findings() -> list[Finding]:
    """Return one finding of each kind; the second is not as promised."""
    return [
        Finding(
            1,
            "1024 MiB CSV",
            "id",
            "archived",
            f"report_type=units/format=csv/start_date=2020-01-01/end_date=2025-12-31/{JOB.format(1)}.csv",
            1024 * MIB,
            44.37,
            "streaming",
            checksum_equal=True,
            peak_rss_bytes=120 * MIB,
        ),
        Finding(
            2,
            "small CSV",
            "id, 3 times",
            "archived",
            f"{RENTS}{JOB.format(2)}.csv",
            9319,
            0.091,
            "streaming",
            checksum_equal=False,
            peak_rss_bytes=76_123_456,
            is_as_promised=False,
        ),
        Finding(
            3,
            "empty CSV",
            "job object",
            "archived",
            f"{RENTS}{JOB.format(3)}.csv",
            0,
            0.064,
            "server_side",
            checksum_equal=True,
            peak_rss_bytes=76_123_456,
        ),
        Finding(4, "nobody's job", "id", "rejected: no_such_job", peak_rss_bytes=74_000_000),
        Finding(5, "failed there", "id", "ended: job_failed"),
    ]


def trace() -> Trace:
    """Return a trace of two depths with a step that failed."""
    copy = Segment("## copy", 101.5, 104.0, failed=True)
    link = Segment("## link", 101.0, 101.02, failed=False)
    handle = Segment("## handle", 100.9, 104.5, failed=False, subsegments=(link, copy))
    name = "apartmentiq-archiver-ArchiveExportFunction-TPJ3N1GNNFR5"
    return Trace("1-2", (Segment(name, 100.0, 104.6, failed=False, subsegments=(handle,)),))


EVENT = {
    "schema_version": "1",
    "job": {"job_id": JOB.format(2), "report_type": "units"},
    "object": {
        "bucket": "apartmentiq-archiver-archivebucket-ci3yu50hxu0r",
        "key": f"{RENTS}{JOB.format(2)}.csv",
        "size_bytes": 9319,
    },
    "etags_agree": True,
    "duration_seconds": 0.091,
}


def copies(clock: Clock) -> Copies:
    """Return four jobs: one that is copied, one that commits, one that waits, one that ended."""
    copies = Copies(
        [
            CopyJob(1, "a", "1024 MiB CSV", 1024 * MIB),
            CopyJob(2, "b", "small CSV", 9319),
            CopyJob(3, "c", "Parquet", 102_778),
            CopyJob(4, "d", "JSON lines", 6060),
        ],
        clock,
    )
    for job_id in "abd":
        copies.read(job_id, 1)
    clock.now += 4.0
    copies.read("b", 9319)
    copies.read("d", 6060)
    copies.end("d", "archived", 2.0)
    clock.now += 4.0
    copies.read("a", 256 * MIB)
    return copies


def show_all(console: Console) -> None:
    """Print everything that does not depend on time."""
    clock = Clock()
    going = copies(clock)
    console.print(f"copy     8.0 s; {going.line(clock.now)}")
    console.print(going.bars(clock.now, console.width))
    show_findings(console, findings())
    letter = "404 from the results endpoint: Not Found: Job with the specified ID does not exist"
    show_letters(
        console,
        [Letter("#4", "no_such_job", letter), Letter(JOB.format(9), "waited_too_long", letter)],
    )
    show_event(console, {"Export Archived": 3, "Export Rejected": 1}, ("Export Archived", EVENT))
    show_waterfall(console, trace(), "job 1 (1024 MiB CSV, id)")
    lake = [LakeRow("floorplans", "parquet", "2025-01-01", "2025-01-31", 2, 100_000, 50_000)]
    lake_table(console, lake, "Loaded on the events by the example consumer: 2 exports.")
    show_coverage(
        console,
        [
            Text("a-year-of-units: units as csv: 12 archived, 1 not due yet"),
            Text("  2025              =="),
            Text("  2026    ==========."),
        ],
    )
    next_steps(console, ".local/archive")


def rendered(width: int, encoding: str = "utf-8", **options: object) -> str:
    """Return what a console of this width is given."""
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="replace")
    console = Console(
        file=file,
        width=width,
        markup=False,
        highlight=False,
        **options,  # type: ignore[arg-type]  # some of Console's own
    )
    show_all(console)
    file.flush()
    file.seek(0)
    return file.read()


@pytest.mark.parametrize("width", [80, 140])
def test_the_plain_output_is_that_of_the_golden_file(width: int) -> None:
    """What a pipe, a log of CI or TERM=dumb shows changes on purpose only."""
    path = GOLDEN / f"plain-{width}.txt"
    text = "\n".join(line.rstrip() for line in rendered(width).splitlines()) + "\n"
    if os.environ.get("WRITE_GOLDEN"):
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")
    assert "\x1b" not in text


@pytest.mark.parametrize("width", [80, 100, 140])
@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "iso-8859-1"])
def test_nothing_is_cut_or_broken_at_any_width(width: int, encoding: str) -> None:
    """Every line fits, and every figure, key and id is whole: none was folded or cut off."""
    text = rendered(width, encoding)
    assert max(len(line) for line in text.splitlines()) <= width
    for finding in findings():
        row = f"{finding.number} {finding.export:<12} {finding.sent_as:<11} {finding.outcome}"
        assert any(line.startswith(row) for line in text.splitlines())
        if finding.key:
            assert finding.key.rpartition("/")[2] in text
    figures = ("1.00 GiB  23.1 equal", "DIFFERS 72.6 MiB\n", "256 MiB  32.0 MiB/s", "MiB/s SHA")
    for figure in figures:
        assert figure in text


def test_all_sizes_and_speeds_are_binary() -> None:
    """One system of units, three digits, and no 1024 of a smaller one."""
    sizes = (0, 1023, 1024, 9319, 1024 * 1024 - 1, 10 * MIB, 1_023 * MIB, 2**30, 5 * 2**40)
    assert [size_text(size) for size in sizes] == [
        "0 B",
        "1023 B",
        "1.00 KiB",
        "9.10 KiB",
        "1.00 MiB",
        "10.0 MiB",
        "1023 MiB",
        "1.00 GiB",
        "5.00 TiB",
    ]
    assert not re.search(r"\b[KMG]B\b|MB/s", rendered(140))


def test_the_bar_of_a_job_that_ended_shows_the_speed_of_the_table() -> None:
    """Both say the export's size over the seconds that the job's own event tells."""
    clock = Clock()
    going = Copies([CopyJob(1, "a", "1024 MiB CSV", 1024 * MIB)], clock)
    going.read("a", 1024 * MIB)
    clock.now += 7.0
    going.end("a", "archived", 44.37)
    console = Console(file=io.StringIO(), width=80)
    console.print(going.bars(clock.now + 99.0, 80))
    assert isinstance(console.file, io.StringIO)
    assert f"{speed_text(1024 * MIB, 44.37)} MiB/s" in console.file.getvalue()


def test_a_bar_that_is_full_says_what_goes_on() -> None:
    """A copy whose bytes are all read is not ended: it commits, and the seconds move."""
    clock = Clock()
    going = Copies([CopyJob(1, "a", "big", 100)], clock)
    assert going.line(clock.now) == "0 of 1 jobs ended"
    going.read("a", 50)
    clock.now += 5
    assert going.line(clock.now).endswith("50 %, <0.01 MiB/s, 5 s left")
    going.read("a", 100)
    clock.now += 3
    assert going.line(clock.now).endswith("committing 3 s")
    going.end("a", "archived", 8.0)
    assert going.line(clock.now) == "1 of 1 jobs ended"


def test_a_person_hears_something_within_two_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing can be redrawn, a phase that takes long adds a line, then says its end."""
    monkeypatch.setattr("local.demo_screen.QUIET_SECONDS", 0.01)
    file = io.StringIO()
    phases = Phases(Console(file=file, width=80))
    with phases.phase("verify", "every object"):
        deadline = time.monotonic() + 5
        while file.getvalue().count("\n") < 3 and time.monotonic() < deadline:
            time.sleep(0.005)
    lines = file.getvalue().splitlines()
    assert lines[0] == "verify   every object …"
    assert re.fullmatch(r"verify   0\.\d s", lines[1])
    assert re.fullmatch(r"verify   every object: done in \d\.\d s", lines[-1])


def test_a_phase_that_fails_does_not_say_that_it_is_done() -> None:
    """What is said is true, on an error, too."""
    file = io.StringIO()
    with pytest.raises(ValueError, match="no"), Phases(Console(file=file)).phase("deploy", "it"):
        raise ValueError("no")
    assert "done" not in file.getvalue()


@pytest.mark.parametrize(
    ("environment", "terminal", "expected"),
    [
        ({"TERM": "xterm-256color"}, True, True),
        ({"TERM": "dumb"}, True, False),
        ({"TERM": "xterm", "CI": "true"}, True, False),
        ({"TERM": "xterm"}, False, False),
        ({"TERM": "xterm", "NO_COLOR": "1"}, True, True),
    ],
)
def test_bars_move_only_where_a_line_can_be_redrawn(
    environment: dict[str, str],
    terminal: bool,  # noqa: FBT001 - a case's own
    expected: bool,  # noqa: FBT001 - as above
) -> None:
    """A pipe, a dumb terminal and CI get lines; a terminal without colours keeps its bars."""
    console = Console(
        file=io.StringIO(), force_terminal=terminal, _environ={"COLUMNS": "80", **environment}
    )
    assert can_redraw(console, environment) is expected


@pytest.mark.parametrize("colours", ["standard", "truecolor"])
def test_a_terminal_gets_colours_that_can_be_read_on_light_and_dark(colours: str) -> None:
    """Only the theme's own colours are used, and none that is lost on white or on black."""
    text = rendered(80, force_terminal=True, color_system=colours, _environ={})
    used = {code for codes in re.findall(r"\x1b\[([\d;]*)m", text) for code in codes.split(";")}
    assert used <= READABLE
    assert "31" in used  # what is not as promised is red


def test_no_color_is_heeded() -> None:
    """NO_COLOR leaves bold and dim, and no colour (no-color.org)."""
    text = rendered(80, force_terminal=True, color_system="standard", _environ={"NO_COLOR": "1"})
    assert not re.search(r"\x1b\[[\d;]*3[0-7]m", text)
