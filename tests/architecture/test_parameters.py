"""docs/parameters.md says what template.yaml says: written from it, so that neither can stray.

Written anew by `WRITE_GOLDEN=1 .venv/bin/python -m pytest tests/architecture/test_parameters.py`.
"""

from __future__ import annotations

import os
from typing import Any

from tests.template.resolved import REPOSITORY, read_template

PAGE = REPOSITORY / "docs" / "parameters.md"
BEGIN, END = "<!-- parameters: begin -->\n", "<!-- parameters: end -->\n"


def written() -> str:
    """Return the template's parameters as the page has them: a table for each group."""
    template = read_template()
    lines: list[str] = []
    for group in template["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]:
        lines += [f"\n## {group['Label']['default']}\n", "| parameter | default | what it does |"]
        lines.append("| --- | --- | --- |")
        for name in group["Parameters"]:
            lines.append(row(name, template["Parameters"][name]))
    return "\n".join(lines) + "\n\n"


def row(name: str, parameter: dict[str, Any]) -> str:
    """Return a parameter's line: its default, its description, and which values it takes."""
    default = f"`{parameter['Default']}`" if parameter["Default"] != "" else "empty"
    takes = str(parameter.get("ConstraintDescription", ""))
    if "AllowedValues" in parameter:
        takes = ", ".join(
            f"`{value}`" if value else "empty" for value in parameter["AllowedValues"]
        )
        takes += "."
    told = parameter["Description"].strip()
    return f"| {name} | {default} | {plain(told)} *Takes:* {plain(takes)} |"


def plain(text: str) -> str:
    """Return text whose stars are stars: `cron(0 6 * * ? *)` begins no emphasis."""
    return text.replace("*", r"\*")


def test_the_page_is_what_the_template_says() -> None:
    """A parameter that is added, changed or gone is so on the page; WRITE_GOLDEN=1 writes it."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    text = before + BEGIN + written() + END + after
    if os.environ.get("WRITE_GOLDEN"):
        PAGE.write_text(text, encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == text, "write it anew: WRITE_GOLDEN=1, see above"
