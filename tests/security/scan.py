"""`make check-security`: checkov on the expanded template, with no finding and no idle suppression.

    python -m tests.security.scan CHECKOV

Suppressions stand in template.yaml, in the Metadata of the resource, each with its reason, and
nowhere else: neither here nor in a file of checkov's. Beside the template a planted one is scanned,
so that a scanner that finds nothing any more is found out. checkov asks nobody over the network.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from samtranslator.yaml_helper import yaml_parse

from local.aws.expansion import expand_template

__all__ = ["judge", "suppressions", "with_suppressions_of_origin"]

REPOSITORY = Path(__file__).resolve().parents[2]
TEMPLATE, PLANTED = "template.json", "planted.json"
_PLANTED_TEMPLATE = {
    "Resources": {
        "OpenBucket": {"Type": "AWS::S3::Bucket", "Properties": {"AccessControl": "PublicRead"}}
    }
}
_PLANTED_CHECK = "CKV_AWS_20"  # "the S3 Bucket has an ACL defined which allows public READ access"
_QUIETLY = ("--skip-download", "--output", "json")
_LEAST_PASSED = 40  # of 54 on 2026-11-24; far fewer would mean that resources were not read


def with_suppressions_of_origin(
    body: Mapping[str, Any], source: Mapping[str, Any]
) -> dict[str, Any]:
    """Give what SAM made out of a resource (a function's URL) the suppressions of that resource."""
    resources = {}
    for name, resource in body["Resources"].items():
        origin = max((o for o in source if name.startswith(o)), key=len, default=None)
        metadata = {**resource.get("Metadata", {}), **_checkov_metadata(source, origin)}
        resources[name] = {**resource, "Metadata": metadata}
    return {**body, "Resources": resources}


def _checkov_metadata(source: Mapping[str, Any], name: str | None) -> dict[str, Any]:
    metadata = source[name].get("Metadata", {}) if name else {}
    return {"checkov": metadata["checkov"]} if "checkov" in metadata else {}


def suppressions(source: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Yield resource, check and reason of every suppression that a template's resources hold."""
    for name, resource in source.items():
        for skip in resource.get("Metadata", {}).get("checkov", {}).get("skip", []):
            yield name, skip["id"], skip["comment"]


def judge(report: Mapping[str, Any], suppressed: set[tuple[str, str]]) -> list[str]:
    """Return what is wrong, a sentence each: findings, idle suppressions, a scan that saw little.

    `suppressed` are the pairs of resource and check that template.yaml names.
    """
    results = report["results"]
    wrong = [
        f"{check['check_id']} {check['resource']}: {check['check_name']}"
        for check in results["failed_checks"]
        if check["file_path"].endswith(TEMPLATE)
    ]
    used = {
        (check["resource"].rpartition(".")[2], check["check_id"])
        for check in results["skipped_checks"]
    }
    wrong += [
        f"{name}: the suppression of {check} suppresses nothing; take it out"
        for name, check in sorted(suppressed)
        if not any(used_on.startswith(name) and check == id_ for used_on, id_ in used)
    ]
    wrong += [f"{path} could not be read" for path in results["parsing_errors"]]
    if not any(check["check_id"] == _PLANTED_CHECK for check in results["failed_checks"]):
        wrong.append(f"the planted open bucket was not found ({_PLANTED_CHECK})")
    if report["summary"]["passed"] < _LEAST_PASSED:
        wrong.append(f"only {report['summary']['passed']} checks passed: what was scanned?")
    return wrong


def _scan(checkov: str, folder: Path) -> dict[str, Any]:
    done = subprocess.run(  # noqa: S603 - from our own lock
        [checkov, "--directory", folder, "--framework", "cloudformation", *_QUIETLY],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        env={**os.environ, "LOG_LEVEL": "ERROR"},
        cwd=folder,
    )
    try:
        report: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        sys.exit(f"checkov gave no report: {done.stderr[-2000:]}")
    return report


def main(checkov: str) -> int:
    """Scan, print what is wrong or how much was seen, and return the exit code."""
    path = REPOSITORY / "template.yaml"
    source = yaml_parse(path.read_text(encoding="utf-8"))["Resources"]
    expanded = expand_template(path, bucket="b", region="us-east-1").body
    suppressed = {(name, check) for name, check, _ in suppressions(source)}
    with tempfile.TemporaryDirectory() as folder:
        body = with_suppressions_of_origin(expanded, source)
        (Path(folder) / TEMPLATE).write_text(json.dumps(body, indent=1))
        (Path(folder) / PLANTED).write_text(json.dumps(_PLANTED_TEMPLATE, indent=1))
        report = _scan(checkov, Path(folder))
    wrong = judge(report, suppressed)
    summary = report["summary"]
    seen = f"checkov {summary['checkov_version']}: {summary['passed']} checks passed"
    print("\n".join(wrong or [f"{seen}, {len(suppressed)} suppressed with a reason, no finding"]))  # noqa: T201 - a command
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(str(Path(sys.argv[1]).resolve())))
