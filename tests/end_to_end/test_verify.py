"""`archiver verify` tells the truth about a job, as any user of the stack could see it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from cli.app import main
from cli.proofs import NEEDS, judge_writes, lacking_at, resources_of
from cli.stack import read_outputs
from local.apartmentiq import VendorStandIn
from local.cloud import STACK_NAME, LocalCloud
from tests.functional.aws_script import AwsScript, Refusal


def verify(job_id: str, stack: str = STACK_NAME) -> int:
    """Run it with a deadline that a loaded machine can keep."""
    return main(["verify", job_id, "--stack", stack, "--deadline-seconds", "60"])


def test_an_archived_job_is_shown_with_its_object(
    people: LocalCloud, vendor: VendorStandIn, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 0, the key, the size that the bucket holds; and the same for an archived job."""
    job = vendor.add_job(b"four")
    for _ in range(2):
        assert verify(job.job_id) == 0
        said = capsys.readouterr().out
        assert f"{job.job_id}.csv" in said
        assert "the bucket holds 4 bytes" in said
    people.wait_until_quiet()


def test_an_object_that_is_gone_is_archived_again(
    people: LocalCloud, vendor: VendorStandIn, capsys: pytest.CaptureFixture[str]
) -> None:
    """Verifying asks for a recheck, and a recheck repairs."""
    job = vendor.add_job(b"four")
    assert verify(job.job_id) == 0
    item = people.job_item(job.job_id)
    assert item is not None
    people.clients.s3.delete_object(Bucket=people.bucket, Key=item["key"]["S"])
    assert verify(job.job_id) == 0
    assert "the bucket holds 4 bytes" in capsys.readouterr().out


@pytest.mark.usefixtures("people")
def test_a_rejected_job_and_a_stack_that_is_not_there_are_said_to_be_so(
    vendor: VendorStandIn, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 1, with the reason and what to do."""
    job = vendor.add_job(b"four")
    vendor.forbid(job.job_id)
    assert verify(job.job_id) == 1
    said = capsys.readouterr().out
    assert "forbidden" in said
    assert "RedriveCommand" in said
    assert verify(job.job_id, stack="nobody") == 3
    assert "there is no stack nobody" in capsys.readouterr().err


def lines_of(capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    """Return the result of each proof that was printed, by its name."""
    found = re.findall(
        r"^(ok|FAILED|not here) +([a-z -]+): ", capsys.readouterr().out, re.MULTILINE
    )
    return {name: result for result, name in found}


def probes_in(cloud: LocalCloud) -> list[str]:
    """Return what the proofs left in the bucket: versions, delete markers, unfinished uploads."""
    listed = cloud.clients.s3.list_object_versions(Bucket=cloud.bucket)
    uploads = cloud.clients.s3.list_multipart_uploads(Bucket=cloud.bucket).get("Uploads", [])
    entries = [*listed.get("Versions", []), *listed.get("DeleteMarkers", []), *uploads]
    return [entry["Key"] for entry in entries if "probe" in entry["Key"]]


@pytest.fixture
def aws_script(cloud: LocalCloud) -> Iterator[AwsScript]:
    """Let AWS answer as it would and the embedded one does not."""
    script = AwsScript(cloud.aws)
    yield script
    script.clear()


def test_an_emulator_proves_what_it_can_and_says_what_it_cannot(
    people: LocalCloud, vendor: VendorStandIn, capsys: pytest.CaptureFixture[str]
) -> None:
    """No proof is claimed that was not had, and nothing is left in the bucket."""
    assert verify(vendor.add_job(b"four").job_id) == 0
    assert lines_of(capsys) == {
        "recursion": "not here",
        "role": "not here",
        "region": "ok",
        "encryption": "ok",
        "trailer": "ok",
        "second write": "ok",
        "unconditional write": "not here",
    }
    assert probes_in(people) == []


def role_says(decision: str) -> Refusal:
    """Return IAM's answer about all that it is asked for."""
    said = f"<EvalActionName>a:b</EvalActionName><EvalDecision>{decision}</EvalDecision>"
    result = f"<EvaluationResults><member>{said}</member></EvaluationResults>"
    body = f"<R><SimulatePrincipalPolicyResult>{result}</SimulatePrincipalPolicyResult></R>"
    return Refusal(200, body.encode(), {"Content-Type": "text/xml"})


def recursion_says(answer: str) -> Refusal:
    """Return Lambda's answer about the function's recursion setting."""
    return Refusal.json(200, json.dumps({"RecursiveLoop": answer}).encode())


def asks_for_recursion(environ: Mapping[str, Any]) -> bool:
    """Match GetFunctionRecursionConfig."""
    return str(environ["PATH_INFO"]).endswith("/recursion-config")


def asks_of_the_bucket(method: str, query: str) -> Callable[[Mapping[str, Any]], bool]:
    """Match a question about the bucket itself."""

    def matches(environ: Mapping[str, Any]) -> bool:
        is_s3 = "/s3/" in environ.get("HTTP_AUTHORIZATION", "")
        of_bucket = environ["PATH_INFO"].strip("/").count("/") == 0
        asked = (environ["REQUEST_METHOD"], environ.get("QUERY_STRING", ""))
        return is_s3 and of_bucket and asked == (method, query)

    return matches


def default_is_kms() -> Refusal:
    """Return S3's answer about a bucket whose default encryption is a key of KMS."""
    default = "<SSEAlgorithm>aws:kms</SSEAlgorithm>"
    rule = f"<ApplyServerSideEncryptionByDefault>{default}</ApplyServerSideEncryptionByDefault>"
    body = f"<ServerSideEncryptionConfiguration><Rule>{rule}</Rule>"
    return Refusal(200, f"{body}</ServerSideEncryptionConfiguration>".encode())


def asks_iam(environ: Mapping[str, Any]) -> bool:
    """Match a call of IAM."""
    return "/iam/" in environ.get("HTTP_AUTHORIZATION", "")


def commits_unconditionally(environ: Mapping[str, Any]) -> bool:
    """Match the probe's commit without If-None-Match."""
    return (
        environ["REQUEST_METHOD"] == "POST"
        and environ["PATH_INFO"].endswith("probe")
        and "uploadId=" in environ.get("QUERY_STRING", "")
    )


def sends_a_part(environ: Mapping[str, Any]) -> bool:
    """Match the probe's part, whose checksum is in a trailer."""
    return (
        environ["REQUEST_METHOD"] == "PUT"
        and environ["PATH_INFO"].endswith("probe")
        and environ.get("HTTP_X_AMZ_TRAILER") == "x-amz-checksum-crc64nvme"
    )


def answer_as_aws_does(script: AwsScript) -> None:
    """Allow what the role needs, set recursion, refuse the unconditional write."""
    script.answer_next(asks_for_recursion, recursion_says("Allow"))
    script.answer_next(asks_iam, role_says("allowed"), times=20)
    script.answer_next(commits_unconditionally, Refusal.s3(403, "AccessDenied"))


@pytest.mark.usefixtures("people")
def test_what_aws_enforces_is_proved(
    vendor: VendorStandIn, aws_script: AwsScript, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each proof tells a stack on which it holds."""
    answer_as_aws_does(aws_script)
    assert verify(vendor.add_job(b"four").job_id) == 0
    assert set(lines_of(capsys).values()) == {"ok"}


@pytest.mark.usefixtures("people")
@pytest.mark.parametrize(
    ("matches", "answer", "name"),
    [
        (asks_for_recursion, recursion_says("Terminate"), "recursion"),
        (asks_iam, role_says("implicitDeny"), "role"),
        (
            asks_of_the_bucket("HEAD", ""),
            Refusal(200, b"", {"x-amz-bucket-region": "eu-west-1"}),
            "region",
        ),
        (asks_of_the_bucket("GET", "encryption"), default_is_kms(), "encryption"),
        (sends_a_part, Refusal.s3(403, "AccessDenied"), "trailer"),
    ],
    ids=["recursion", "role", "region", "encryption", "trailer"],
)
def test_a_deployment_that_lacks_something_fails_with_what_that_means(
    vendor: VendorStandIn,
    aws_script: AwsScript,
    capsys: pytest.CaptureFixture[str],
    matches: Callable[[Mapping[str, Any]], bool],
    answer: Refusal,
    name: str,
) -> None:
    """Exit code 1 though the job is archived, and the line of that proof alone says FAILED."""
    aws_script.answer_next(matches, answer, times=20)
    answer_as_aws_does(aws_script)
    assert verify(vendor.add_job(b"four").job_id) == 1
    told = lines_of(capsys)
    assert [one for one, result in told.items() if result == "FAILED"] == [name]


@pytest.mark.parametrize(
    ("told", "aws", "elsewhere"),
    [
        ({"trailer": "unconfirmed"}, "FAILED", "not here"),
        ({"trailer": "refused"}, "FAILED", "not here"),
        ({"trailer": "S3 refused part 1: AccessDenied."}, "FAILED", "FAILED"),
        ({"second_write": "written as version v2"}, "FAILED", "not here"),
        ({"second_write": "not tried"}, "not here", "not here"),
        ({"second_write": "Writing the object: AccessDenied."}, "FAILED", "FAILED"),
        ({"unconditional_write": "InvalidPart"}, "FAILED", "not here"),
    ],
)
def test_what_the_function_tells_is_judged(told: dict[str, str], aws: str, elsewhere: str) -> None:
    """What another S3 may lack AWS may not; a call that was refused is a failure anywhere."""
    good = {
        "trailer": "confirmed",
        "second_write": "refused",
        "unconditional_write": "AccessDenied",
    }
    for host, expected in (("s3.us-east-1.amazonaws.com", aws), ("localhost:1", elsewhere)):
        assert {p.result for p in judge_writes(good, f"https://{host}")} == {"ok"}
        results = [p.result for p in judge_writes({**good, **told}, f"https://{host}")]
        assert sorted(results) == sorted([expected, "ok", "ok"])


def test_the_role_is_asked_about_the_stacks_own_resources(people: LocalCloud) -> None:
    """Of the objects about one beneath the key prefix: the role may touch no other."""
    role = "arn:aws:iam::123456789012:role/archiver"
    arns = resources_of(read_outputs(STACK_NAME), role, "exports/")
    assert arns.keys() == NEEDS.keys()
    assert arns["objects"].startswith(f"arn:aws:s3:::{people.bucket}/exports/")
    assert arns["secret"] == people.credentials_secret
    for resource, name in (("queue", people.queue_url), ("table", people.table)):
        assert arns[resource].endswith(name.rpartition("/")[2])


def test_on_aws_a_write_that_should_have_been_refused_is_a_failure() -> None:
    """What an emulator may lack, AWS may not: the same finding is FAILED there."""
    for host, result in (("s3.us-east-1.amazonaws.com", "FAILED"), ("localhost:1", "not here")):
        assert lacking_at(f"https://{host}", "unconditional write", "…").result == result
