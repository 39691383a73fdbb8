"""`archiver deploy` and `archiver delete` as they are typed, up to where AWS would be asked."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer
import yaml

from cli.app import app, main
from cli.deploy import open_clients
from cli.stages import Stage, known_stages

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Take away every login and region that this machine may have."""
    for name in (
        "ACCESS_KEY_ID",
        "SECRET_ACCESS_KEY",
        "SESSION_TOKEN",
        "PROFILE",
        "DEFAULT_PROFILE",
    ):
        monkeypatch.delenv(f"AWS_{name}", raising=False)
    monkeypatch.delenv("AWS_REGION", raising=False)
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.mark.parametrize(
    ("typed", "code", "told"),
    [
        (["deploy", "dev"], 2, "dev has no region yet: give --region"),
        (["deploy", "dev", "--region", "us-east-1"], 3, "Unable to locate credentials: log in"),
        (["deploy", "test"], 2, "give one of dev, prod"),
        (["deploy", "dev", "--set", "KeyPrefix"], 2, "'KeyPrefix' is not NAME=VALUE"),
        (["deploy", "dev", "--tag", "=x"], 2, "'=x' is not NAME=VALUE"),
        (["deploy"], 2, "Missing argument"),
        (["deploy", "dev", "--json"], 2, "a program reads --show"),
        (["delete", "dev"], 2, "dev has no region yet: give --region"),
        (["delete", "dev", "--region", "us-east-1"], 3, "Unable to locate credentials: log in"),
        (["delete", "test"], 2, "give one of dev, prod"),
    ],
)
def test_what_is_missing_is_one_sentence(
    typed: list[str], code: int, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the remedy and the documented exit code; nothing is built for it."""
    assert main(typed) == code
    said = " ".join(re.sub(r"[│╭╰─╮╯]", "", capsys.readouterr().err).split())
    assert told in said
    assert "Traceback" not in said


def test_show_needs_no_login(capsys: pytest.CaptureFixture[str]) -> None:
    """What the file says is said; the project's own stages set nothing."""
    assert main(["deploy", "dev", "--show"]) == 0
    assert "samconfig.toml sets nothing" in capsys.readouterr().out


def test_a_stages_profile_is_used_unless_the_environment_says_who_deploys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in CI, where a role's keys are in the environment and no profile is there."""
    (tmp_path / "config").write_text("[profile company]\nregion = eu-central-1\n")
    stage = Stage("dev", "archiver", None, {}, {}, is_ours=True, settings={"profile": "company"})
    assert open_clients(stage, None).region == "eu-central-1"
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "of a role")
    assert open_clients(stage, None).region == ""


def test_the_shell_completes_the_stages() -> None:
    """Those of samconfig.toml, without SAM's default."""
    assert known_stages() == ["dev", "prod"]


def test_the_workflow_of_the_manual_deploys_by_what_there_is() -> None:
    """Its commands are taken, it holds no key, and its token is all that it may write."""
    text = (REPOSITORY / "docs" / "deploying.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```yaml\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    workflow = yaml.safe_load(block)
    assert workflow["permissions"] == {"contents": "read", "id-token": "write"}
    assert "secrets." not in block
    steps = workflow["jobs"]["deploy"]["steps"]
    commands = [step["run"].split() for step in steps if "archiver" in step.get("run", "")]
    assert len(commands) == 2
    group = typer.main.get_command(app)
    assert isinstance(group, typer.core.TyperGroup)
    for program, name, *given in commands:
        assert program == ".venv/bin/archiver"
        group.commands[name].make_context(name, given)


def test_make_passes_on_what_is_typed() -> None:
    """The Makefile's targets call the same commands with stage, agreement and confirmation."""
    for target, expected in (
        ("deploy", 'archiver deploy "prod" --yes --set KeyPrefix=a/'),
        ("delete", 'archiver delete "prod" --confirm "archiver"'),
    ):
        asked = ["STAGE=prod", "YES=1", "ARGS=--set KeyPrefix=a/", "CONFIRM=archiver"]
        done = subprocess.run(  # noqa: S603 - our own Makefile, which only prints here
            ["make", "-n", target, *asked, f"VENV={os.path.relpath(sys.prefix, REPOSITORY)}"],  # noqa: S607 - people's make
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            check=True,
        )
        assert expected in done.stdout
