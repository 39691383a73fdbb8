"""What `make build` makes: a bill of what is in it, and nothing of the machine that built it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
BUILT = PROJECT / ".aws-sam" / "local"  # `make test` has made it
LOCK = PROJECT / "layers" / "dependencies" / "requirements.txt"


def written_bill(output: Path) -> str:
    """Write the bill of the build for this machine as the Makefile does; the tool validates it."""
    command = ["bash", ".ci/write-bill", sys.prefix, str(BUILT), str(output)]
    subprocess.run(command, cwd=PROJECT, check=True, capture_output=True)  # noqa: S603 - ours
    return output.read_text(encoding="utf-8")


def test_the_bill_lists_every_locked_package_and_no_other(tmp_path: Path) -> None:
    """By version, with its licence and what it needs."""
    bill = json.loads(written_bill(tmp_path / "bill.json"))
    locked = dict(re.findall(r"^([a-z0-9.-]+)==(\S+)", LOCK.read_text(), re.MULTILINE))
    listed = {re.sub(r"[-_.]+", "-", c["name"]): c for c in bill["components"]}
    assert {name: c["version"] for name, c in listed.items()} == locked
    assert [name for name, c in listed.items() if not c.get("licenses")] == []
    assert {c["purl"] for c in listed.values()} == {f"pkg:pypi/{n}@{v}" for n, v in locked.items()}
    needs = {d["ref"].partition("==")[0]: d.get("dependsOn", []) for d in bill["dependencies"]}
    assert {ref.partition("==")[0] for ref in needs["boto3"]} == {
        "botocore",
        "jmespath",
        "s3transfer",
    }


def test_no_path_of_the_building_machine_is_in_the_build() -> None:
    """Bytecode knows its source by the name that it has in Lambda."""
    here = str(PROJECT).encode()
    finished_at = (BUILT / ".finished").stat().st_mtime
    built = [
        path
        for path in sorted(BUILT.rglob("*"))
        # What is newer was made by a run of it here: Python keeps the bytecode of what it imports.
        if path.is_file() and path.stat().st_mtime <= finished_at
    ]
    assert any(path.suffix == ".pyc" for path in built)
    assert [path for path in built if here in path.read_bytes()] == []
