"""What a person can cause is told in one sentence with the remedy; a stack must be named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

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

from cli import deploy as deploying
from cli import stages
from cli.app import main
from cli.failure import explain
from cli.stack import StackOutputs, known_stacks

JOB = "3f6c3c58-6a0f-4f6c-8f0f-3a1d4b1c9c11"
NEED_A_STACK = [
    *(["status", JOB], ["trace", JOB], ["verify", JOB], ["audit"], ["reconcile"]),
    *(["dashboard"], ["callback-url"], ["rotate-callback-token"]),
    *(["orders", "plan", "orders.yaml"], ["orders", "apply", "orders.yaml"], ["orders", "show"]),
    *(["orders", "pause"], ["orders", "resume"], ["coverage"]),
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


@pytest.fixture
def entered(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., tuple[str, str]]:
    """Return what runs a command somewhere, and tells the region and profile that boto3 has."""
    names = ("REGION", "DEFAULT_REGION", "PROFILE", "DEFAULT_PROFILE", "ACCESS_KEY_ID")
    config = tmp_path / "config"
    config.write_text("[profile company]\nregion = ap-south-1\n[profile other]\n")
    asked: list[tuple[str, str]] = []

    def ask(*_: object) -> NoReturn:
        session = boto3.Session()
        asked.append((session.region_name or "", session.profile_name))
        raise NoRegionError

    def run(*words: str, saved: str = "", **environment: str) -> tuple[str, str]:
        (tmp_path / "samconfig.toml").write_text(saved)
        monkeypatch.setattr(stages, "CONFIG_PATH", tmp_path / "samconfig.toml")
        for name in names:  # what the command sets is undone with the test
            monkeypatch.setenv(f"AWS_{name}", "")
            monkeypatch.delenv(f"AWS_{name}")
        monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(boto3, "client", ask)
        assert main(["audit", "--stack", "archiver-dev", *words]) == 3
        return asked[-1]

    return run


SAVED = """[dev.global.parameters]
stack_name = "archiver-dev"
region = "eu-west-3"
[dev.deploy.parameters]
profile = "company"
"""


@pytest.mark.parametrize(
    ("words", "saved", "environment", "region", "profile"),
    [
        ([], "", {"AWS_REGION": "eu-west-1"}, "eu-west-1", "default"),
        ([], "", {"AWS_DEFAULT_REGION": "eu-west-2"}, "eu-west-2", "default"),
        (
            *([], "", {"AWS_REGION": "eu-west-1", "AWS_DEFAULT_REGION": "eu-west-2"}),
            *("eu-west-1", "default"),
        ),
        ([], SAVED, {"AWS_REGION": "eu-west-1"}, "eu-west-3", "company"),
        (["--region", "sa-east-1"], SAVED, {"AWS_REGION": "eu-west-1"}, "sa-east-1", "company"),
        ([], SAVED, {"AWS_PROFILE": "other"}, "eu-west-3", "other"),
        ([], SAVED, {"AWS_DEFAULT_PROFILE": "other"}, "eu-west-3", "other"),
        ([], SAVED, {"AWS_ACCESS_KEY_ID": "of a role"}, "eu-west-3", "default"),
    ],
)
def test_region_and_profile_are_those_that_were_said_last(
    entered: Callable[..., tuple[str, str]],
    words: list[str],
    saved: str,
    environment: dict[str, str],
    region: str,
    profile: str,
) -> None:
    """On the command line, in the stage, in the environment; AWS_REGION as AWS's other tools do."""
    assert entered(*words, saved=saved, **environment) == (region, profile)


def test_the_end_of_input_ends_a_question(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ctrl-D in place of an answer is no, and no traceback."""

    def end(*_: object, **__: object) -> NoReturn:
        raise EOFError

    monkeypatch.setattr(deploying, "deploy", end)
    assert main(["deploy", "dev"]) == 130
    assert capsys.readouterr().err == "\nstopped\n"


def test_a_deployed_stack_has_no_story_here(capsys: pytest.CaptureFixture[str]) -> None:
    """Not even one of the local stack's name, whose logs would be another's."""
    assert main(["trace", JOB, "--stack", "apartmentiq-archiver"]) == 2
    assert "saved query" in capsys.readouterr().err.replace("\n", " ")
