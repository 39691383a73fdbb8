"""The scan of the template cannot pass by seeing nothing; no suppression is without a reason."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from tests.security.scan import SKIPS, judge, with_suppressions, without_function_urls
from tests.template.resolved import read_template

PLANTED = {
    "check_id": "CKV_AWS_20",
    "check_name": "public",
    "resource": "AWS::S3::Bucket.OpenBucket",
    "file_path": "/planted.json",
}
FINDING = {
    "check_id": "CKV_AWS_27",
    "check_name": "encrypted",
    "resource": "AWS::SQS::Queue.Q",
    "file_path": "/template.json",
}


def report(**changes: Any) -> dict[str, Any]:  # noqa: ANN401 - parts of checkov's report
    """Return a report that is as it should be, but for changes."""
    results = {"failed_checks": [PLANTED], "skipped_checks": [FINDING], "parsing_errors": []}
    return {
        "results": {**results, **{k: v for k, v in changes.items() if k in results}},
        "summary": {"passed": changes.get("passed", 54)},
    }


def test_a_report_as_it_should_be_is_no_matter() -> None:
    """A suppressed finding and the planted one are all that may be there."""
    assert judge(report(), {("Q", "CKV_AWS_27")}) == []


@pytest.mark.parametrize(
    ("changes", "suppressed", "said"),
    [
        ({"failed_checks": [PLANTED, FINDING]}, ("Q", "CKV_AWS_27"), "CKV_AWS_27"),
        ({"failed_checks": []}, ("Q", "CKV_AWS_27"), "planted"),
        ({"passed": 3}, ("Q", "CKV_AWS_27"), "only 3"),
        ({"parsing_errors": ["/template.json"]}, ("Q", "CKV_AWS_27"), "could not be read"),
        ({}, ("Other", "CKV_AWS_27"), "Other: the suppression of CKV_AWS_27"),
        ({"skipped_checks": []}, ("Q", "CKV_AWS_27"), "suppresses nothing"),
    ],
)
def test_whatever_is_wrong_is_said(
    changes: dict[str, Any], suppressed: tuple[str, str], said: str
) -> None:
    """A finding, a blind scanner, an unread file and an idle suppression each fail the check."""
    (sentence,) = judge(report(**changes), {suppressed})
    assert said in sentence


def test_what_sam_makes_of_a_function_is_suppressed_with_it() -> None:
    """A function's URL has no name of its own in the source; the longest that begins it counts."""
    skips = {"F": {"A": "why"}, "FUrlOther": {"B": "why"}}
    body = {"Resources": {"F": {}, "FUrl": {"Metadata": {"x": 1}}, "FUrlOther": {}, "G": {}}}
    given = with_suppressions(body, skips)["Resources"]
    skip = {"checkov": {"skip": [{"id": "A", "comment": "why"}]}}
    assert given["F"]["Metadata"] == skip
    assert given["FUrl"]["Metadata"] == {"x": 1, **skip}
    assert given["FUrlOther"]["Metadata"] == {"checkov": {"skip": [{"id": "B", "comment": "why"}]}}
    assert given["G"]["Metadata"] == {"checkov": {"skip": []}}


def test_every_suppression_has_a_resource_and_a_reason() -> None:
    """A sentence that a reviewer can weigh; the template itself holds none."""
    skips = yaml.safe_load(SKIPS.read_text(encoding="utf-8"))
    resources = read_template()["Resources"]
    assert skips.keys() <= resources.keys()
    assert all(len(why.split()) >= 6 for checks in skips.values() for why in checks.values())
    assert not [name for name, one in resources.items() if "checkov" in one.get("Metadata", {})]


def test_a_reference_to_a_function_s_url_is_named_instead() -> None:
    """Nothing else of a template is changed, so that all else is scanned as it is deployed."""
    refer = {"Fn::GetAtt": ["CallbackUrl", "FunctionUrl"]}
    other = {"Fn::GetAtt": ["Function", "Arn"]}
    shown = without_function_urls({"A": [{"Fn::If": ["C", refer, other]}], "B": "x", "D": 7})
    named = "https://url-of-a-function.example/"
    assert shown == {"A": [{"Fn::If": ["C", named, other]}], "B": "x", "D": 7}
