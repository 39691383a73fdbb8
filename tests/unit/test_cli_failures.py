"""What a person can cause is told in one sentence with the remedy; a stack must be named."""

from __future__ import annotations

from pathlib import Path

import boto3
import pytest
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    EndpointConnectionError,
    NoCredentialsError,
    NoRegionError,
    ProfileNotFound,
    ProxyConnectionError,
    SSOTokenLoadError,
    TokenRetrievalError,
    UnauthorizedSSOTokenError,
)

from cli.app import main
from cli.failure import explain
from cli.stack import StackOutputs, known_stacks

JOB = "3f6c3c58-6a0f-4f6c-8f0f-3a1d4b1c9c11"
NEED_A_STACK = [
    *(["status", JOB], ["trace", JOB], ["verify", JOB], ["audit"], ["reconcile"]),
    *(["dashboard"], ["callback-url"], ["rotate-callback-token"]),
]


def refused(code: str, operation: str = "GetItem", message: str = "Said.") -> ClientError:
    """Return what boto3 raises for an AWS service's refusal."""
    return ClientError({"Error": {"Code": code, "Message": message}}, operation)


@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        (NoRegionError(), "give --region, or set AWS_REGION"),
        (NoCredentialsError(), "log in"),
        (SSOTokenLoadError(error_msg="gone"), "log in"),
        (UnauthorizedSSOTokenError(), "log in"),
        (TokenRetrievalError(provider="sso", error_msg="gone"), "log in"),
        (ProfileNotFound(profile="x"), "AWS_PROFILE"),
        (EndpointConnectionError(endpoint_url="https://x"), "network"),
        (ProxyConnectionError(proxy_url="http://x"), "proxy"),
        (refused("ExpiredToken"), "expired: log in"),
        (refused("ExpiredTokenException"), "expired: log in"),
        (refused("RequestExpired"), "expired: log in"),
        (refused("InvalidClientTokenId"), "log in"),
        (refused("UnrecognizedClientException"), "log in"),
        (refused("InvalidAccessKeyId", "ListObjectsV2"), "log in"),
        (refused("AccessDenied", "DescribeStacks"), "docs/iam.md"),
        (refused("AccessDeniedException"), "docs/iam.md"),
        (refused("403", "HeadObject", "Forbidden"), "docs/iam.md"),
        (refused("ThrottlingException"), "try again"),
        (refused("ValidationError", "DescribeStacks", "Stack nobody does not exist"), "--stack"),
    ],
)
def test_what_a_person_can_cause_is_a_sentence_with_its_remedy(
    error: BotoCoreError | ClientError, remedy: str
) -> None:
    """In one line, and with exit code 3."""
    failure = explain(error, stack="nobody")
    assert remedy in str(failure)
    assert "\n" not in str(failure)
    assert failure.code == 3


def test_a_stack_that_is_not_there_is_named() -> None:
    """As it was typed, with where to look."""
    error = refused("ValidationError", "DescribeStacks", "Stack with id nobody does not exist")
    assert "no stack nobody" in str(explain(error, stack="nobody"))


@pytest.mark.parametrize("words", NEED_A_STACK, ids=lambda words: words[0])
def test_no_command_has_a_stack_of_its_own_choice(
    words: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 2 before anything is asked: no client is even made."""
    monkeypatch.setattr(boto3, "client", lambda *_, **__: pytest.fail("AWS was asked"))
    assert main(words) == 2
    assert "--stack" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["status", "x"], ["verify", ""], ["trace", JOB + "0"]])
def test_a_job_that_is_no_id_is_refused(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """With what was typed, before anything is asked."""
    assert main([*words, "--stack", "any"]) == 2
    assert "is not a job id" in capsys.readouterr().err


def test_a_local_run_that_is_not_there_says_how_to_start_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 3, in a sentence."""
    assert main(["audit", "--stack", "local", "--state-folder", str(tmp_path)]) == 3
    assert "make local" in capsys.readouterr().err


def test_stacks_that_can_be_named_are_offered() -> None:
    """The local one and each stage's: what the shell completes."""
    assert known_stacks()[0] == "local"
    assert "apartmentiq-archiver-dev" in known_stacks()


def test_an_output_that_is_missing_is_named() -> None:
    """With what may be the cause."""
    with pytest.raises(Exception, match="no output ArchiveQueueUrl"):
        StackOutputs({})["ArchiveQueueUrl"]


@pytest.mark.parametrize("words", [["--help"], ["status", "--help"], ["local", "--help"]])
def test_help_is_printed_without_loading_boto3s_clients(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """And ends with 0."""
    assert main(words) == 0
    assert "sage:" in capsys.readouterr().out


def test_a_deployed_stack_has_no_story_here(capsys: pytest.CaptureFixture[str]) -> None:
    """Not even one of the local stack's name, whose logs would be another's."""
    assert main(["trace", JOB, "--stack", "apartmentiq-archiver"]) == 2
    assert "saved query" in capsys.readouterr().err.replace("\n", " ")
