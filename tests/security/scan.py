"""`make check-security`: checkov on the expanded template, with no finding and no idle suppression.

    python -m tests.security.scan CHECKOV

Suppressions stand in .ci/checkov-skips.yaml, by resource, each with its reason, and nowhere else.
Beside the template a planted one is scanned, so that a scanner that finds nothing any more is found
out. checkov asks nobody over the network.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from local.aws.expansion import expand_template

__all__ = ["SKIPS", "judge", "with_suppressions", "without_function_urls"]

REPOSITORY = Path(__file__).resolve().parents[2]
SKIPS = REPOSITORY / ".ci" / "checkov-skips.yaml"
_Skips = Mapping[str, str]  # a check's id → why it does not hold
TEMPLATE, PLANTED = "template.json", "planted.json"
_PLANTED_TEMPLATE = {
    "Resources": {
        "OpenBucket": {"Type": "AWS::S3::Bucket", "Properties": {"AccessControl": "PublicRead"}}
    }
}
_URL = "FunctionUrl"  # the attribute of AWS::Lambda::Url
_PLANTED_CHECK = "CKV_AWS_20"  # "the S3 Bucket has an ACL defined which allows public READ access"
_QUIETLY = ("--skip-download", "--output", "json")
_LEAST_PASSED = 40  # of 54 on 2026-11-24; far fewer would mean that resources were not read


def with_suppressions(body: Mapping[str, Any], skips: Mapping[str, _Skips]) -> dict[str, Any]:
    """Give each resource, and what SAM made out of it (a function's URL), its suppressions.

    They go where checkov looks for them: into the resource's Metadata.
    """
    resources = {}
    for name, resource in body["Resources"].items():
        origin = max((o for o in skips if name.startswith(o)), key=len, default=None)
        skip = [{"id": i, "comment": why} for i, why in skips.get(origin or "", {}).items()]
        metadata = {**resource.get("Metadata", {}), "checkov": {"skip": skip}}
        resources[name] = {**resource, "Metadata": metadata}
    return {**body, "Resources": resources}


def without_function_urls(value: Any) -> Any:  # noqa: ANN401 - any JSON in, the same JSON out
    """Return a template's value in which no resource refers to a function's URL, but names one.

    checkov 3.3.30 links the two in its graph under keys that are tuples, and its own JSON report
    then raises TypeError. What it checks of the URL and of the function is unchanged.
    """
    if isinstance(value, dict):
        named = value.get("Fn::GetAtt")
        if value.keys() == {"Fn::GetAtt"} and isinstance(named, list) and named[-1] == _URL:
            return "https://url-of-a-function.example/"
        return {name: without_function_urls(item) for name, item in value.items()}
    return [without_function_urls(item) for item in value] if isinstance(value, list) else value


def judge(report: Mapping[str, Any], suppressed: set[tuple[str, str]]) -> list[str]:
    """Return what is wrong, a sentence each: findings, idle suppressions, a scan that saw little.

    `suppressed` are the pairs of resource and check that the file names.
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
    skips: dict[str, _Skips] = yaml.safe_load(SKIPS.read_text(encoding="utf-8"))
    expanded = expand_template(path, bucket="b", region="us-east-1").body
    suppressed = {(name, check) for name, checks in skips.items() for check in checks}
    with tempfile.TemporaryDirectory() as folder:
        body = with_suppressions(without_function_urls(expanded), skips)
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
