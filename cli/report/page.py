"""The page: one HTML file in which the document, the style and the scripts all lie.

Its own policy forbids it the network and every script but its two (Content-Security-Policy, by
their hashes). What comes from outside gets into it in two ways: through the template, which
escapes, and as JSON, which holds no `<`; the script writes texts only.
"""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from cli.report.document import as_json

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["render"]

_HERE = Path(__file__).parent


def render(document: Mapping[str, Any], commands: Mapping[str, str], *, follows: bool) -> str:
    """Return the page; `commands` are what a person can copy, by what they are for.

    `follows`: somebody writes it again, so that reloading it shows what happened since.
    """
    environment = Environment(
        loader=FileSystemLoader(_HERE, encoding="utf-8"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    chart, script = _read("uplot/uPlot.iife.min.js"), _read("page.js")
    style = _read("uplot/uPlot.min.css") + _read("page.css")
    return environment.get_template("page.html").render(
        document=document,
        commands=commands,
        follows=follows,
        json=Markup(as_json(document)),  # noqa: S704 - it has no `<`
        commands_json=Markup(as_json(dict(commands))),  # noqa: S704
        style=Markup(style),  # noqa: S704 - ours, as are the next three
        chart=Markup(chart),  # noqa: S704
        script=Markup(script),  # noqa: S704
        licence=Markup(_read("uplot/LICENSE")),  # noqa: S704
        script_hashes=[_hash(chart), _hash(script)],
        style_hash=_hash(style),
    )


def _read(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    """Return what a policy names a script by (CSP Level 3, "hash-source")."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
