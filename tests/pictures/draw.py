"""Draws a Vega-Lite chart as an SVG for light and for dark pages; its own venv does the drawing.

vl-convert holds Vega-Lite in one wheel, without a browser; nothing leaves this machine. The SVG has
no outside references, and its text is text. What is drawn must say its units by itself: a chart
here gets colours and sizes and no words.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from tests.locked_venv import make_locked_venv

__all__ = ["draw"]

_ROOT = Path(__file__).resolve().parents[2]
_VENV = _ROOT / ".cache" / "pictures" / "venv"
_LOCK = _ROOT / ".ci" / "pictures-requirements.txt"
_PROGRAM = """
import sys, vl_convert
print(vl_convert.vegalite_to_svg(sys.stdin.read(), allowed_base_urls=[]), end="")
"""
_INK, _PAPER, _GRID, _FAINT = "#1f2328", "#ffffff", "#d1d9e0", "#59636e"
# Each colour on a white page, and what it is on a dark one.
_DARK = {
    _INK: "#f0f6fc",
    _PAPER: "#0d1117",
    _GRID: "#30363d",
    _FAINT: "#9198a1",
    "#0969da": "#58a6ff",
    "#bc4c00": "#ffa657",
    "#1a7f37": "#56d364",
    "#8250df": "#bc8cff",
    "#bf3989": "#f778ba",
    "#9a6700": "#e3b341",
    "#cf222e": "#ff7b72",
    "#1b7c83": "#39c5cf",
    "#57606a": "#b1bac4",
    "#116329": "#aff5b4",
}
_COLOURS = list(_DARK)[4:]
_CONFIG = {
    "background": _PAPER,
    "font": "system-ui, -apple-system, Segoe UI, Helvetica, Arial, sans-serif",
    "axis": {
        "labelColor": _INK,
        "titleColor": _INK,
        "gridColor": _GRID,
        "domainColor": _FAINT,
        "tickColor": _FAINT,
        "titleFontWeight": "normal",
        "labelFontSize": 11,
    },
    "legend": {"labelColor": _INK, "titleColor": _INK, "titleFontWeight": "normal"},
    "title": {"color": _INK, "anchor": "start", "fontSize": 13, "subtitleColor": _INK},
    "text": {"color": _INK},
    "rule": {"color": _FAINT},
    "range": {"category": _COLOURS},
    "view": {"stroke": _GRID},
}


def draw(chart: dict[str, Any]) -> str:
    """Return a chart as an SVG, described by its `description`.

    Raises RuntimeError where the drawing venv is not to be had.
    """
    if problem := make_locked_venv(_VENV, _LOCK):
        raise RuntimeError(problem)
    done = subprocess.run(  # noqa: S603 - ours
        [str(_VENV / "bin" / "python"), "-c", _PROGRAM],
        input=json.dumps({**chart, "config": _CONFIG}),
        capture_output=True,
        check=True,
        encoding="utf-8",
    )
    dark = "".join(
        f'[fill="{light}"]{{fill:{dark}}}[stroke="{light}"]{{stroke:{dark}}}'
        for light, dark in _DARK.items()
    )
    style = f"<style>@media (prefers-color-scheme:dark){{{dark}}}</style>"
    about = escape(chart["description"])
    named = f'<svg role="img" aria-label="{about}" '
    drawn = done.stdout.replace("<svg ", named, 1)
    return drawn.replace(">", f"><title>{about}</title>{style}", 1) + "\n"
