"""A stage is deployed as samconfig.toml says, guided at first, and never by mistake."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from samcli.cli.types import CfnParameterOverridesType
from samcli.commands.deploy.command import cli as sam_deploy

from cli.app import main
from cli.stage import PROJECT_FOLDER, StageError, deploy_command, stack_of

CONFIG = """
version = 0.1
[default.deploy.parameters]
stack_name = "default"
[dev.deploy.parameters]
stack_name = "archiver-dev"
[prod.deploy.parameters]
stack_name = "archiver"
parameter_overrides = {saved}
"""


def project(folder: Path, saved: str = '"LogLevel=\\"INFO\\" Architecture=\\"x86_64\\""') -> Path:
    """Return a folder with two stages; `prod` was deployed before."""
    (folder / "samconfig.toml").write_text(CONFIG.format(saved=saved))
    return folder


def test_the_first_deploy_is_guided_and_later_ones_are_not(tmp_path: Path) -> None:
    """A stage without answers is asked for them; the guide offers what was built."""
    folder = project(tmp_path)
    first = deploy_command("dev", architecture="arm64", project=folder)
    assert first == [
        *("deploy", "--config-env", "dev", "--guided"),
        *("--parameter-overrides", 'Architecture="arm64"'),
    ]
    later = deploy_command("prod", architecture="x86_64", project=folder)
    assert later == ["deploy", "--config-env", "prod"]
    again = deploy_command("prod", architecture="arm64", guided=True, project=folder)
    assert again == [
        *("deploy", "--config-env", "prod", "--guided"),
        *("--parameter-overrides", 'LogLevel="INFO"', 'Architecture="arm64"'),
    ]


def test_sam_reads_the_answers_as_they_were_given(tmp_path: Path) -> None:
    """Blanks, parentheses and empty values survive, as sam itself reads and writes them."""
    saved = {"ReconcileSchedule": "cron(0 6 * * ? *)", "KeyPrefix": "", "LogLevel": "INFO"}
    written = " ".join(f'{name}=\\"{value}\\"' for name, value in saved.items())
    folder = project(tmp_path, f'"{written}"')
    command = deploy_command("prod", architecture="arm64", guided=True, project=folder)
    given = command[command.index("--parameter-overrides") + 1 :]
    read = CfnParameterOverridesType().convert(given, None, None)
    assert read == {**saved, "Architecture": "arm64"}


@pytest.mark.parametrize(
    "saved", ['"Architecture=\\"x86_64\\""', '"A=1 Architecture=x86_64"', '["Architecture=x86_64"]']
)
def test_a_build_for_another_processor_is_not_deployed(tmp_path: Path, saved: str) -> None:
    """Its compiled packages would not load; the command that works is said."""
    folder = project(tmp_path, saved)
    with pytest.raises(StageError, match="make deploy STAGE=prod ARCHITECTURE=x86_64"):
        deploy_command("prod", architecture="arm64", project=folder)


def test_a_name_that_would_not_deploy_is_refused(tmp_path: Path) -> None:
    """Before anything is built into the account: a rule's name may have 64 characters."""
    folder = project(tmp_path)
    config = folder / "samconfig.toml"
    config.write_text(config.read_text().replace("archiver-dev", "s" * 59))
    assert deploy_command("dev", architecture="arm64", project=folder)[0] == "deploy"
    config.write_text(config.read_text().replace("s" * 59, "s" * 60))
    with pytest.raises(StageError, match="60 characters; 59 are the most"):
        deploy_command("dev", architecture="arm64", project=folder)


@pytest.mark.parametrize("stage", ["", "default", "test", "version"])
def test_a_stage_must_be_named(tmp_path: Path, stage: str) -> None:
    """Nothing is deployed or deleted that nobody named."""
    with pytest.raises(StageError, match="give STAGE=dev or STAGE=prod"):
        stack_of(stage, project(tmp_path))


@pytest.mark.parametrize("command", ["deploy", "delete"])
def test_an_unnamed_stage_is_told_in_a_sentence(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2 and what to type."""
    assert main([command, ""]) == 2
    assert "give STAGE=dev or STAGE=prod" in capsys.readouterr().err


@pytest.mark.parametrize("stage", ["dev", "prod"])
def test_sam_knows_every_setting_of_a_stage(stage: str) -> None:
    """No setting of the project's samconfig.toml is one that sam would ignore."""
    known = {parameter.name for parameter in sam_deploy.params}
    section = _settings(stage)
    assert section["capabilities"] == "CAPABILITY_IAM"
    assert section.keys() <= known


def _settings(stage: str) -> dict[str, object]:
    config = tomllib.loads((PROJECT_FOLDER / "samconfig.toml").read_text())
    parameters: dict[str, object] = config[stage]["deploy"]["parameters"]
    return parameters


def test_stages_are_stacks_of_their_own() -> None:
    """What is tried in one stage cannot change the other."""
    assert stack_of("dev") != stack_of("prod")


def test_make_passes_on_what_is_typed() -> None:
    """The Makefile's targets call it with stage, processor and confirmation."""
    for target, expected in (
        ("deploy", 'archiver deploy "prod" --architecture x86_64 --guided'),
        ("delete", 'archiver delete "prod" --confirm "archiver"'),
    ):
        asked = ["STAGE=prod", "ARCHITECTURE=x86_64", "GUIDED=1", "CONFIRM=archiver"]
        done = subprocess.run(  # noqa: S603 - our own Makefile, which only prints here
            ["make", "-n", target, *asked, f"VENV={os.path.relpath(sys.prefix, PROJECT_FOLDER)}"],  # noqa: S607 - people's make
            cwd=PROJECT_FOLDER,
            capture_output=True,
            text=True,
            check=True,
        )
        assert expected in done.stdout
