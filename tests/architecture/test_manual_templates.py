"""The templates of docs/events.md deploy as far as linters tell, as template.yaml does.

Linters take seconds to start: they are asked in `make check`, as `make check-template` asks them.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
TOOLS = Path(sys.executable).parent
BLOCKS = re.findall(r"```yaml\n(.*?)```", (PROJECT / "docs" / "events.md").read_text(), re.DOTALL)


def run_tool(*command: str) -> None:
    """Run one of the linters in .venv; fails with what it said."""
    environment = {**os.environ, "SAM_CLI_TELEMETRY": "0"}
    done = subprocess.run(  # noqa: S603 - our own tools with fixed arguments
        [TOOLS / command[0], *command[1:]],
        cwd=PROJECT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("template", "is_sam"),
    list(zip(BLOCKS, [False, True, True], strict=True)),
    ids=["queue", "function", "state machine"],
)
def test_a_template_of_the_manual_passes_the_linters(
    template: str, *, is_sam: bool, tmp_path: Path
) -> None:
    """CloudFormation's linter is silent, warnings included, and SAM accepts it."""
    assert ("\nTransform: " in template) == is_sam
    path = tmp_path / "template.yaml"
    path.write_text(template, encoding="utf-8")
    run_tool("cfn-lint", str(path))
    if is_sam:
        run_tool("sam", "validate", "--lint", "--region", "us-east-1", "--template-file", str(path))
