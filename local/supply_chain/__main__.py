"""What the Makefile calls: `sbom`, `audit-lock`, `check-reproducible`. Reads arguments, prints."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from local.supply_chain.bill import bill_of
from local.supply_chain.builds import BuildError, build_copy, differences
from local.supply_chain.lock import LockError
from local.supply_chain.review import review_locks

__all__ = ["main"]

ROOT = Path(__file__).resolve().parents[2]


def main() -> int:
    """Run one subcommand; returns the process's exit code."""
    parser = argparse.ArgumentParser(prog="python -m local.supply_chain", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    sbom = commands.add_parser("sbom", help="write the bill of materials of a build")
    sbom.add_argument("build_folder", type=Path)
    sbom.add_argument("output", type=Path)
    sbom.set_defaults(run=_write_bill)
    audit = commands.add_parser("audit-lock", help="review the locks, without a network")
    audit.add_argument("--root", type=Path, default=ROOT)
    audit.set_defaults(run=_audit)
    twice = commands.add_parser("check-reproducible", help="build twice and compare")
    twice.add_argument("--architecture", default="arm64")
    twice.set_defaults(run=_build_twice)
    arguments = parser.parse_args()
    try:
        code: int = arguments.run(arguments)
    except (BuildError, LockError) as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 2
    return code


def _write_bill(arguments: argparse.Namespace) -> int:
    arguments.output.write_text(bill_of(arguments.build_folder))
    print(f"bill of materials: {arguments.output}")
    return 0


def _audit(arguments: argparse.Namespace) -> int:
    review = review_locks(arguments.root)
    for finding in review.findings:
        print(finding)
    elsewhere = ", ".join(review.unread) or "none"
    print(
        f"{review.packages} locked packages, {review.licences_read} licences read, "
        f"{len(review.findings)} findings. Not seen: known vulnerabilities and withdrawn versions "
        f"(docs/deploying.md); the licences of {review.apart} packages of venvs "
        f"of their own, and of what is for another system or Python: {elsewhere}."
    )
    return 1 if review.findings else 0


def _build_twice(arguments: argparse.Namespace) -> int:
    with TemporaryDirectory() as folder:
        # Names of different length, because a path in bytecode would show in its size, too.
        builds = [
            build_copy(
                ROOT, Path(folder, name), architecture=arguments.architecture, venv=Path(sys.prefix)
            )
            for name in ("a", "another-place")
        ]
        found = differences(*builds)
    for line in found:
        print(line)
    print(f"two builds for {arguments.architecture} in two folders: {len(found)} files differ")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
