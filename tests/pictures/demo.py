"""`make demo-picture`: docs/demo.svg, a recording of a real `make demo`.

The demo runs in a terminal of its own (a pty of 80 columns); what it writes is kept with its time,
and what a person would have seen is drawn: each line once, each screen a list of lines, the screens
one below the other as on a film, which a style sheet moves. Pauses are shortened; nothing is made
up. Who asks for less motion gets one still screen.
"""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import time
from dataclasses import dataclass, field
from pathlib import Path
from threading import Timer
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from rich.ansi import AnsiDecoder
from rich.console import Console
from rich.terminal_theme import MONOKAI

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.style import Style
    from rich.text import Text

__all__ = ["Screen", "draw", "frames_of", "main", "record"]

_PROJECT = Path(__file__).resolve().parents[2]
_PICTURE = _PROJECT / "docs" / "demo.svg"
_MOST_BYTES = 300_000  # README loads it
_COLUMNS, _ROWS = 80, 28
_SIZE_MIB = "256"  # make demo's own
_PATIENCE_SECONDS = 300
# Of the film, in seconds: how long the shortest screen stands, the longest, and each of the pages
# that come at once at the end, which a person must be able to read.
_SHORTEST, _LONGEST, _TO_READ, _THE_END = 0.25, 0.9, 4.0, 6.0
_MOST_MOVING = 16.0  # seconds of all that moves before the pages at the end
_TIMER = re.compile(r"… (?:\d+ min )?[\d.]+ s")
_PAGE_ROWS = _ROWS - 4  # a page begins with the last lines of the one before
_CHARACTER, _LINE, _MARGIN = 8.4, 18, 14  # pixels: a column of a 14 px font, a row, the frame
_STILL = "What became of each job"  # what the still screen shows
_CONSOLE = Console()  # knows what styles are called
_CONTROL = re.compile(r"\x1b\[([0-9;?]*)([A-Za-z])|(\r)|(\n)|([^\x1b\r\n]+)|\x1b.")


def main() -> int:
    """Record, draw, write."""
    frames = frames_of(record([sys.executable, "-m", "cli", "demo", "--size-mib", _SIZE_MIB]))
    picture = draw(frames)
    if (size := len(picture.encode())) > _MOST_BYTES:
        sys.stderr.write(f"{size:,} bytes are too many for README\n")
        return 1
    _PICTURE.write_text(picture, encoding="utf-8")
    sys.stdout.write(f"{_PICTURE}: {len(frames)} screens, {size:,} bytes\n")
    return 0


def record(command: list[str]) -> list[tuple[float, str]]:
    """Run a command in a terminal of its own; return what it wrote, each piece with its second.

    Raises RuntimeError where it fails or does not end.
    """
    terminal, its_side = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", _ROWS, _COLUMNS, 0, 0))
    environment = {"PATH": os.defpath, "HOME": "/nonexistent", "LANG": "C.UTF-8"}
    process = subprocess.Popen(  # noqa: S603 - ours
        command,
        cwd=_PROJECT,
        env={**environment, "TERM": "xterm-256color"},
        stdin=its_side,
        stdout=its_side,
        stderr=its_side,
        start_new_session=True,
    )
    os.close(its_side)
    late = Timer(_PATIENCE_SECONDS, process.terminate)
    late.start()
    begun, pieces, left = time.monotonic(), [], b""
    try:
        while read := _read(terminal):
            left += read
            text = left.decode("utf-8", "ignore")
            left = left[len(text.encode()) :]
            pieces.append((time.monotonic() - begun, text))
        status = process.wait()
    finally:
        late.cancel()
        os.close(terminal)
    if status:
        raise RuntimeError(f"{command[-1]} ended with {status}: {''.join(t for _, t in pieces)}")
    return pieces


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65_536)
    except OSError:  # Linux says so that the other side is gone
        return b""


@dataclass
class Screen:
    """Lines as a terminal has them, as far as rich uses one: it clears a line to rewrite it.

    They keep their colours as they were written (SGR).
    """

    lines: list[str] = field(default_factory=lambda: [""])
    row: int = 0

    def write(self, text: str) -> None:
        """Take what was written."""
        for control, letter, back, down, plain in _CONTROL.findall(text):
            if back:
                continue  # what follows clears the line, or goes on below
            if down:
                self.row += 1
                if self.row == len(self.lines):
                    self.lines.append("")
            elif letter == "A":
                self.row = max(0, self.row - int(control or 1))
            elif letter == "K":
                self.lines[self.row] = ""
            elif letter == "m":
                self.lines[self.row] += f"\x1b[{control}m"
            else:
                self.lines[self.row] += plain


@dataclass(frozen=True, slots=True)
class Frame:
    """One screen, and how many seconds it stands."""

    lines: tuple[str, ...]
    seconds: float


def frames_of(pieces: Sequence[tuple[float, str]]) -> list[Frame]:
    """Return the screens that a person would have seen, the last pages slowly enough to be read."""
    screen, shown, seen = Screen(), [], 0
    for place, (at, text) in enumerate(pieces):
        screen.write(text)
        later = pieces[place + 1][0] if place + 1 < len(pieces) else at + _LONGEST
        lines = screen.lines[: _last(screen.lines)]
        while len(lines) - seen > _ROWS:  # more came at once than a screen holds
            seen += _PAGE_ROWS
            first = seen - _PAGE_ROWS
            shown.append(Frame(tuple(lines[first : first + _ROWS]), _TO_READ))
        if later - at >= _SHORTEST or place + 1 == len(pieces):
            shown.append(Frame(tuple(lines[seen : seen + _ROWS]), min(later - at, _LONGEST)))
    last = shown.pop()
    return [*_hurried(list(_joined(shown))), Frame(last.lines, _THE_END)]


def _last(lines: Sequence[str]) -> int:
    return next((n for n in range(len(lines), 0, -1) if lines[n - 1].strip()), 0)


def _joined(frames: Sequence[Frame]) -> Iterator[Frame]:
    """Put screens together that look the same, but for the seconds that a phase has taken."""
    before: Frame | None = None
    for frame in frames:
        if before is not None and _told(before) == _told(frame):
            before = Frame(before.lines, max(before.seconds, frame.seconds))
            continue
        if before is not None:
            yield before
        before = frame
    if before is not None:
        yield before


def _told(frame: Frame) -> list[str]:
    return [_TIMER.sub("", line) for line in frame.lines]


def _hurried(frames: Sequence[Frame]) -> Iterator[Frame]:
    """Leave out screens of a run that took longer than one likes to look; pages to read stay."""
    moving = sum(frame.seconds for frame in frames if frame.seconds < _TO_READ)
    hurry, due = max(1.0, moving / _MOST_MOVING), 0.0
    for frame in frames:
        if frame.seconds == _TO_READ:
            yield frame
            continue
        due += frame.seconds / hurry
        if due >= _SHORTEST:
            yield Frame(frame.lines, due)
            due = 0.0


def draw(frames: Sequence[Frame]) -> str:
    """Return the film as an SVG that moves by its own style sheet."""
    width = round(_COLUMNS * _CHARACTER + 2 * _MARGIN)
    height = _ROWS * _LINE + 2 * _MARGIN
    known: dict[str, int] = {}
    film = []
    for number, frame in enumerate(frames):
        for row, line in enumerate(frame.lines):
            if line.strip():
                name = known.setdefault(line, len(known))
                y = number * height + _MARGIN + (row + 1) * _LINE - 5
                film.append(f'<use href="#l{name}" y="{y}"/>')
    decoder = AnsiDecoder()
    drawn = [
        f'<g id="l{name}">{_line(decoder.decode_line(line))}</g>' for line, name in known.items()
    ]
    whole, at, stops = sum(frame.seconds for frame in frames), 0.0, []
    for number, frame in enumerate(frames):
        stops.append(f"{100 * at / whole:.2f}%{{transform:translateY(-{number * height}px)}}")
        at += frame.seconds
    still = next((n for n, f in enumerate(frames) if any(_STILL in line for line in f.lines)), 0)
    background, text = MONOKAI.background_color.hex, MONOKAI.foreground_color.hex
    style = (
        "text{font:14px ui-monospace,SFMono-Regular,Menlo,Consolas,'Liberation Mono',monospace;"
        "white-space:pre}"
        ".b{font-weight:700}.d{opacity:.6}.u{text-decoration:underline}"
        f".film{{fill:{text};animation:film {whole:.1f}s step-end infinite}}"
        f"@keyframes film{{{''.join(stops)}}}"
        "@media (prefers-reduced-motion:reduce){.film{animation:none;"
        f"transform:translateY(-{still * height}px)}}}}"
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" role="img" aria-label="make demo, recorded">\n'
        f"<style>{style}</style>\n<defs>{''.join(drawn)}</defs>\n"
        f'<rect width="{width}" height="{height}" rx="8" fill="{background}"/>\n'
        f'<g transform="translate({_MARGIN} 0)"><g class="film">{"".join(film)}</g></g>\n</svg>\n'
    )


def _line(text: Text) -> str:
    """Return a line's runs of one style, each as wide as its columns in whatever font there is."""
    drawn, column = [], 0
    for run in text.divide([edge for span in text.spans for edge in (span.start, span.end)]):
        plain, style = run.plain, run.get_style_at_offset(_CONSOLE, 0) if run.plain else None
        if plain.strip() and style is not None:
            width = round(len(plain) * _CHARACTER, 1)
            drawn.append(
                f'<text x="{column * _CHARACTER:.1f}" textLength="{width}"{_looks(style)}>'
                f"{escape(plain)}</text>"
            )
        column += len(plain)
    return "".join(drawn)


def _looks(style: Style) -> str:
    names = " ".join(
        name for name, on in (("b", style.bold), ("d", style.dim), ("u", style.underline)) if on
    )
    fill = ""
    if style.color is not None and not style.color.is_default:
        fill = f' fill="{style.color.get_truecolor(MONOKAI).hex}"'
    return fill + (f' class="{names}"' if names else "")


if __name__ == "__main__":
    sys.exit(main())
