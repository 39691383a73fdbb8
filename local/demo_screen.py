"""What `make demo` shows, on any terminal and on none: phases, bars, tables, and what to do next.

It is given figures and prints them; it must not know the cloud, ask anything, or judge. A terminal
that can redraw a line gets bars; all else (a pipe, CI, TERM=dumb) gets a line of text every other
second. What is printed fits into 80 columns and has the sixteen colours that a terminal's
own theme defines, so that it can be read on a light ground as on a dark one, and without colours.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from rich.console import Console, Group
from rich.live import Live
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from rich.console import RenderableType

    from local.aws.traces import Segment, Trace
    from local.lake import LakeRow

__all__ = [
    "Copies",
    "CopyJob",
    "Coverage",
    "Finding",
    "Letter",
    "Phases",
    "lake_table",
    "make_console",
    "next_steps",
    "show_coverage",
    "show_event",
    "show_findings",
    "show_letters",
    "show_waterfall",
    "size_text",
    "speed_text",
]

QUIET_SECONDS = 2.0  # nobody should wait longer for a sign of life
_REFRESHES_PER_SECOND = 4
_NAME_WIDTH = 8  # of a phase: "set up" and "verify" are the longest; .ci/say writes the same
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")
_STEP = 1024
_MIB = _STEP**2
_LEAST = 0.01  # of what is told by two decimals
_ROUND_SECONDS = 10  # from here on tenths of a second tell nothing
_STEP_NAME_WIDTH = 22  # of a trace's step, indented
_SHORTEST_BAR = 10


# --- words and figures ---


def size_text(size_bytes: float) -> str:
    """Return a size in binary units with three digits, as `10.2 KiB`; whole bytes below."""
    if size_bytes < _STEP:
        return f"{size_bytes:.0f} B"
    value, unit = float(size_bytes), 0
    while value >= _STEP - 0.5 and unit < len(_UNITS) - 1:  # 1023.6 would read 1024
        value, unit = value / _STEP, unit + 1
    return f"{_three_digits(value)} {_UNITS[unit]}"


def speed_text(size_bytes: int, seconds: float) -> str:
    """Return MiB a second as a bare figure: bytes over the time that their job took; "-" of none.

    The one measure of speed in the bars and in the table.
    """
    return _three_digits(size_bytes / _MIB / seconds) if size_bytes and seconds > 0 else "-"


def _three_digits(value: float) -> str:
    if value < _LEAST:
        return f"<{_LEAST}"
    decimals = 0 if value >= 99.95 else 1 if value >= 9.995 else 2
    return f"{value:.{decimals}f}"


def _elapsed_text(seconds: float) -> str:
    if seconds < _ROUND_SECONDS:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"


def make_console() -> Console:
    """Return a console that takes square brackets for what they are: details are full of them.

    It is as wide as the terminal, COLUMNS or, where nobody says, 80 columns.
    """
    return Console(markup=False, highlight=False)


def can_redraw(console: Console, environment: Mapping[str, str] = os.environ) -> bool:
    """Tell whether bars can move; CI's logs keep every redrawing as a line of rubbish."""
    return console.is_interactive and not console.is_dumb_terminal and not environment.get("CI")


# --- while it runs ---


class Phases:
    """Tells which phase the run is in and for how long; never silent for more than two seconds."""

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._clock = clock

    @contextmanager
    def phase(self, name: str, what: str, copies: Copies | None = None) -> Iterator[None]:
        """Show that a phase goes on, until it ends; then say how long it took."""
        started_at = self._clock()
        show = self._live if can_redraw(self._console) else self._lines
        with show(name, what, started_at, copies):
            yield
        seconds = _elapsed_text(self._clock() - started_at)
        self._console.print(_phase_line(name, f"{what}: done in {seconds}", "green"))

    @contextmanager
    def _live(
        self, name: str, what: str, started_at: float, copies: Copies | None
    ) -> Iterator[None]:
        def render() -> RenderableType:
            now = self._clock()
            head = _phase_line(name, f"{what} … {_elapsed_text(now - started_at)}", "bold")
            return Group(head, copies.bars(now, self._console.width)) if copies else head

        with Live(
            get_renderable=render,
            console=self._console,
            refresh_per_second=_REFRESHES_PER_SECOND,
            transient=True,
        ):
            yield

    @contextmanager
    def _lines(
        self, name: str, what: str, started_at: float, copies: Copies | None
    ) -> Iterator[None]:
        done = threading.Event()

        def beat() -> None:
            while not done.wait(QUIET_SECONDS):
                now = self._clock()
                progress = f"; {copies.line(now)}" if copies else ""
                text = f"{_elapsed_text(now - started_at)}{progress}"
                self._console.print(_phase_line(name, text, ""))

        self._console.print(_phase_line(name, f"{what} …", ""))
        thread = threading.Thread(target=beat, name=f"tells-of-{name}", daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()


def _phase_line(name: str, text: str, style: str) -> Text:
    return Text.assemble(
        (f"{name:<{_NAME_WIDTH}} ", style), text, overflow="ellipsis", no_wrap=True
    )


@dataclass(frozen=True, slots=True)
class CopyJob:
    """A job as the bars name it."""

    number: int
    job_id: str
    export: str
    size_bytes: int


@dataclass(slots=True)
class _Progress:
    job: CopyJob
    began_at: float | None = None
    read_bytes: int = 0
    read_at: float | None = None  # when the last byte was read
    ended: str = ""
    seconds: float = 0.0  # of the whole job, once it has ended and says so

    @property
    def is_moving(self) -> bool:
        return self.began_at is not None and not self.ended

    @property
    def is_read(self) -> bool:
        return self.read_bytes >= self.job.size_bytes

    def seconds_until(self, now: float) -> float:
        return self.seconds or (now - self.began_at if self.began_at is not None else 0.0)

    def speed(self, now: float) -> str:
        return speed_text(self.read_bytes, self.seconds_until(now))

    def seconds_left(self, now: float) -> float | None:
        passed = self.seconds_until(now)
        if not self.read_bytes or not passed or self.is_read:
            return None
        return (self.job.size_bytes - self.read_bytes) * passed / self.read_bytes

    def state(self, now: float) -> str:
        if self.ended:
            return self.ended
        if self.began_at is None:
            return "waiting"
        if self.is_read:
            waited = now - (self.read_at or now)
            return f"committing {waited:.0f} s"
        left = self.seconds_left(now)
        return "copying" if left is None else f"{left:.0f} s left"


class Copies:
    """How far each job's copy is: told by the threads that serve bytes, asked by the screen's."""

    def __init__(
        self, jobs: Sequence[CopyJob], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._jobs = {job.job_id: _Progress(job) for job in jobs}

    def read(self, job_id: str, total_bytes: int) -> None:
        """Take the running total of the bytes that were read of a job's export."""
        with self._lock:
            if (progress := self._jobs.get(job_id)) is not None:
                now = self._clock()
                progress.began_at = now if progress.began_at is None else progress.began_at
                progress.read_bytes = min(total_bytes, progress.job.size_bytes)  # parts may repeat
                progress.read_at = now

    def end(self, job_id: str, outcome: str, seconds: float = 0.0) -> None:
        """Take a job's outcome and, of one that was archived, the seconds that it says it took."""
        with self._lock:
            if (progress := self._jobs.get(job_id)) is not None:
                progress.ended, progress.seconds = outcome, seconds
                if seconds:
                    progress.read_bytes = progress.job.size_bytes

    def line(self, now: float) -> str:
        """Return where all of it is, in half a line, for those who have no bars."""
        with self._lock:
            jobs = list(self._jobs.values())
            text = f"{sum(bool(job.ended) for job in jobs)} of {len(jobs)} jobs ended"
            moving = [job for job in jobs if job.is_moving]
            if moving:
                longest = max(moving, key=lambda job: job.job.size_bytes)
                share = 100 * longest.read_bytes // max(1, longest.job.size_bytes)
                text += f"; job {longest.job.number}: {share} %, {longest.speed(now)} MiB/s"
                text += f", {longest.state(now)}"
            return text

    def bars(self, now: float, width: int) -> Table:
        """Return a bar for each job, no wider than `width` columns."""
        table = Table.grid(padding=(0, 1))
        for justify in ("right", "left", "left", "right", "right", "left"):
            table.add_column(justify=justify, no_wrap=True)
        bar_width = max(_SHORTEST_BAR, min(40, width - 60))  # the other columns take 60
        with self._lock:
            for progress in self._jobs.values():
                job = progress.job
                table.add_row(
                    str(job.number),
                    job.export,
                    ProgressBar(
                        max(1, job.size_bytes),
                        progress.read_bytes,
                        width=bar_width,
                        style="dim",
                        complete_style="green",
                        finished_style="green",
                    ),
                    size_text(progress.read_bytes) if job.size_bytes else "",
                    f"{progress.speed(now)} MiB/s" if progress.read_bytes else "",
                    progress.state(now),
                )
        return table


# --- what came of it ---

Outcome = Literal["archived", "rejected", "ended"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What became of one job, in figures; None where there is none to tell."""

    number: int
    export: str
    sent_as: str
    outcome: str
    key: str | None = None
    size_bytes: int | None = None
    seconds: float | None = None
    copy_method: str | None = None
    checksum_equal: bool | None = None
    peak_rss_bytes: int | None = None
    is_as_promised: bool = True


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter: the number of its job in the table, or its id where nobody sent one."""

    job: str
    reason: str
    detail: str


def show_findings(console: Console, findings: Sequence[Finding]) -> None:
    """Print the table of all jobs and, as a tree, the keys at which their exports lie."""
    _print_title(console, "What became of each job")
    table = _table("#:r", "export", "sent as", "outcome", "size:r", "MiB/s:r", "SHA-256", "peak:r")
    for finding in findings:
        table.add_row(*_row(finding), style=None if finding.is_as_promised else "red")
    console.print(table)
    methods = Counter(finding.copy_method for finding in findings if finding.copy_method)
    copied = ", ".join(f"{count} by {method} copy" for method, count in methods.items())
    for note in (
        "MiB/s: the export's size over the seconds from its job's start to its commit.",
        "peak: the most memory of its process so far, from the process's start.",
        f"Copied: {copied or 'none'}.",
    ):
        console.print(Text(note, style="dim"))
    _print_title(console, "Where the exports lie in the bucket")
    console.print(_key_tree(findings))


def _row(finding: Finding) -> tuple[str, ...]:
    peak = size_text(finding.peak_rss_bytes) if finding.peak_rss_bytes else "?"
    head = (str(finding.number), finding.export, finding.sent_as, finding.outcome)
    if finding.size_bytes is None:
        return (*head, "", "", "", peak)
    speed = speed_text(finding.size_bytes, finding.seconds or 0.0)
    checksum = "equal" if finding.checksum_equal else "DIFFERS"
    return (*head, size_text(finding.size_bytes), speed, checksum, peak)


def _key_tree(findings: Sequence[Finding]) -> Tree:
    """Return the keys as folders, two levels of the default key template on a line."""
    tree = Tree("the archive bucket", guide_style="dim", highlight=False)
    branches: dict[str, Tree] = {}
    keys = sorted((item.key, item.number) for item in findings if item.key is not None)
    for key, number in keys:
        *folders, name = key.split("/")
        parent, path = tree, ""
        for start in range(0, len(folders), 2):
            part = "/".join(folders[start : start + 2])
            path += part + "/"
            if path not in branches:
                branches[path] = parent.add(Text(part, no_wrap=True, overflow="fold"))
            parent = branches[path]
        parent.add(Text.assemble(name, (f"  #{number}", "bold"), no_wrap=True, overflow="fold"))
    return tree


def show_letters(console: Console, letters: Sequence[Letter]) -> None:
    """Print the dead letters with their reasons; nothing where there are none."""
    if not letters:
        return
    _print_title(console, "Dead letters")
    table = _table("job", "reason", "detail")
    for letter in letters:
        table.add_row(letter.job, letter.reason, letter.detail)
    console.print(table)


def show_event(
    console: Console, counts: Mapping[str, int], first: tuple[str, Mapping[str, Any]] | None
) -> None:
    """Print how many events of each kind were emitted, and the first with its detail."""
    _print_title(console, "Emitted events")
    console.print(", ".join(f"{count} x {kind}" for kind, count in counts.items()) or "none")
    if first is None:
        return
    kind, detail = first
    console.print(f"The first, {kind} (events/schemas/):")
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True, style="dim")
    table.add_column(overflow="fold")
    room = console.width - max(len(name) for name, _ in _flat(detail)) - 6
    for name, value in _flat(detail):
        table.add_row(name, "\n".join(_at_slashes(value, room)))
    console.print(Padding(table, (0, 0, 0, 2), expand=False))


def _flat(detail: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in detail.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value if isinstance(value, str) else json.dumps(value)


def _at_slashes(text: str, width: int) -> Iterator[str]:
    """Break a key where a person would, behind a slash."""
    line = ""
    for piece in text.replace("/", "/\n").split("\n"):
        if line and len(line) + len(piece) > width:
            yield line
            line = ""
        line += piece
    yield line


def show_waterfall(console: Console, trace: Trace, title: str) -> None:
    """Print the steps of a trace, each with a bar where it lies in time."""
    _print_title(console, f"One trace, of {title}")
    start = min(segment.start for segment in trace.walk())
    end = max(segment.end or segment.start for segment in trace.walk())
    characters = max(_SHORTEST_BAR, min(60, console.width - _STEP_NAME_WIDTH - 12))
    seconds_per_character = max(end - start, 1e-6) / characters
    table = Table.grid(padding=(0, 1))
    table.add_column(no_wrap=True, max_width=_STEP_NAME_WIDTH, overflow="ellipsis")
    table.add_column(justify="right", no_wrap=True)
    table.add_column(no_wrap=True, overflow="crop")
    for root in trace.roots:
        for depth, segment in _with_depth(root):
            offset = min(int((segment.start - start) / seconds_per_character), characters - 1)
            duration_seconds = (segment.end or end) - segment.start
            length = min(
                max(1, round(duration_seconds / seconds_per_character)), characters - offset
            )
            bar = Text(" " * offset + "━" * length, style="red" if segment.failed else "green")
            name = segment.name.removeprefix("## ") if depth else "invocation"
            table.add_row("  " * depth + name, f"{duration_seconds * 1000:,.0f} ms", bar)
    console.print(table)


def _with_depth(segment: Segment, depth: int = 0) -> Iterator[tuple[int, Segment]]:
    yield depth, segment
    for child in segment.subsegments:
        yield from _with_depth(child, depth + 1)


def lake_table(console: Console, lake: Sequence[LakeRow], source: str) -> None:
    """Print what the archived files hold, partition by partition, and what is current of it."""
    _print_title(console, "The archived lake, as DuckDB reads it")
    table = _table("report_type", "format", "start_date", "end_date", "exports:r", "rows:r")
    table.add_column("current", justify="right", no_wrap=True, header_style="underline")
    for row in lake:
        partition = (row.report_type, row.format, row.start_date, row.end_date)
        counts = (row.row_count, row.current_row_count)
        table.add_row(*partition, f"{row.export_count}", *(f"{count:,}" for count in counts))
    console.print(table)
    all_rows, current = (
        sum(counts) for counts in ([r.row_count for r in lake], [r.current_row_count for r in lake])
    )
    console.print(f"{all_rows:,} rows in all; {current:,} are current, each window read once.")
    console.print(Text(source, style="dim"))


@dataclass(frozen=True, slots=True)
class Coverage:
    """What is archived of orders, as `archiver coverage` tells it; `archived`: the windows."""

    lines: Sequence[Text]
    archived: Sequence[str]
    missing_windows: int


def show_coverage(console: Console, lines: Sequence[Text]) -> None:
    """Print the calendar of what a plan ordered."""
    _print_title(console, "What the plan ordered, as archiver coverage tells it")
    for line in lines:
        console.print(line, soft_wrap=True)


def next_steps(console: Console, archive: str) -> None:
    """Print what a person can do now; `archive` is the folder with the archived files."""
    _print_title(console, "What next")
    steps = {
        archive: "holds the archived files",
        "make demo SIZE_MIB=1024": "does it with a larger file",
        "make local": "keeps it up for your own tools",
        ".venv/bin/archiver status JOB --stack local": "then says where a job is",
        ".venv/bin/archiver orders --help": "has all months of yours ordered",
        "make deploy STAGE=dev": "deploys it to your AWS account",
    }
    for command, purpose in steps.items():
        console.print(f"  {command:<43}  {purpose}", soft_wrap=True)


def _print_title(console: Console, title: str) -> None:
    console.print()
    console.print(Text(title, style="bold"))


def _table(*columns: str) -> Table:
    """Return a table without frame; `name:r` stands to the right. Figures and names never wrap."""
    table = Table(box=None, pad_edge=False, padding=(0, 1), collapse_padding=True)
    for column in columns:
        name, _, right = column.partition(":")
        table.add_column(
            name,
            justify="right" if right else "left",
            no_wrap=name not in {"detail", "outcome"},
            overflow="fold",
            header_style="underline",
        )
    return table
