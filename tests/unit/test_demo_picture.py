"""The recording in README is what a terminal showed: whole, small, and still for who wants that."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from rich.console import Console
from rich.live import Live

from tests.pictures.demo import Frame, Screen, draw, frames_of, record

PROJECT = Path(__file__).resolve().parents[2]
PICTURE = PROJECT / "docs" / "demo.svg"
SVG = "{http://www.w3.org/2000/svg}"


def test_a_line_that_is_rewritten_is_shown_as_it_was_last() -> None:
    """Judged by rich's own bars: what it writes to a terminal is what the demo writes."""
    screen = Screen()

    class Terminal:
        def write(self, text: str) -> None:
            screen.write(text)

        def flush(self) -> None:
            """Hold nothing back."""

        def isatty(self) -> bool:
            return True

    console = Console(file=Terminal(), width=80, force_terminal=True)  # type: ignore[arg-type] # enough of one
    console.print("before")
    with Live("one\ntwo", console=console, auto_refresh=False) as live:
        live.update("three\nfour\nfive", refresh=True)
        live.update("six\nseven", refresh=True)
    console.print("after")
    plain = [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in screen.lines]
    assert [line for line in plain if line] == ["before", "six", "seven", "after"]


def test_what_comes_at_once_is_shown_page_by_page_and_nothing_is_left_out() -> None:
    """A person must be able to read it; the last page stays longest."""
    lines = [f"line {number}" for number in range(100)]
    frames = frames_of([(0.0, "begun\n"), (1.0, "\n".join(lines))])
    shown = {line for frame in frames for line in frame.lines}
    assert shown >= {"begun", *lines}
    assert all(frame.seconds >= 4 for frame in frames[1:])
    assert frames[-1].lines[-1] == "line 99"


def test_a_long_run_makes_a_short_film() -> None:
    """A run of ten minutes on a busy machine is not ten minutes to look at."""
    pieces = [(number / 4, f"\r\x1b[2Kbar {number}") for number in range(2400)]
    frames = frames_of(pieces)
    assert sum(frame.seconds for frame in frames) < 30
    waiting = [(float(number), f"\r\x1b[2Kload … {number} s") for number in range(600)]
    assert len(frames_of(waiting)) <= 2


def test_the_recorder_runs_a_command_in_a_terminal_of_80_columns() -> None:
    """It sees what a person would; one that fails is no recording."""
    asked = "import os, sys; print(os.get_terminal_size().columns, sys.stdout.isatty(), 'ü')"
    text = "".join(text for _, text in record([sys.executable, "-c", asked]))
    assert text.strip() == "80 True ü"
    with pytest.raises(RuntimeError, match="ended with"):
        record([sys.executable, "-c", "raise SystemExit(3)"])


def test_the_picture_escapes_what_it_shows() -> None:
    """Text is text."""
    tree = ET.fromstring(draw([Frame(("a <b> & \x1b[32mgreen\x1b[0m",), 1.0)]))  # noqa: S314 - ours
    texts = [element.text for element in tree.iter(f"{SVG}text")]
    assert texts == ["a <b> & ", "green"]


def test_the_picture_that_is_kept_is_small_whole_and_can_stand_still() -> None:
    """README loads it; it names no machine's path."""
    text = PICTURE.read_text(encoding="utf-8")
    assert len(text.encode()) < 300_000
    assert "prefers-reduced-motion" in text
    assert "What became of each job" in text
    assert "What next" in text
    assert not re.search(r"/(tmp|home|root|work|Users)/", text)
    tree = ET.fromstring(text)  # noqa: S314 - ours
    names = {element.get("id") for element in tree.iter(f"{SVG}g")}
    used = {str(element.get("href"))[1:] for element in tree.iter(f"{SVG}use")}
    assert used == names - {None}
