"""A stage's section of samconfig.toml: read as SAM wrote it, written so that comments stay."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
from samcli.cli.types import CfnParameterOverridesType

from cli.failure import Failure
from cli.stages import read_stage, save_stage

REPOSITORY = Path(__file__).resolve().parents[2]
CONFIG = """# the company's own words
version = 0.1

[default.deploy.parameters]
resolve_s3 = true

[dev.deploy.parameters]
stack_name = "archiver-dev" # dev is for trying
resolve_s3 = true

[prod.deploy.parameters]
stack_name = "archiver"
region = "eu-central-1"
parameter_overrides = {saved}
"""
TABLE = """
[prod.deploy.parameters.parameter_overrides]
# agreed with the lake's people
KeyTemplate = "{job_id}"
MaximumConcurrency = 10
ReceiveCallbacks = false
SubnetIds = ["subnet-1", "subnet-2"]
"""


def config(folder: Path, saved: str = '"LogLevel=\\"INFO\\""') -> Path:
    """Write a samconfig.toml with two stages; `prod` was deployed by SAM."""
    path = folder / "samconfig.toml"
    path.write_text(CONFIG.format(saved=saved))
    return path


@pytest.mark.parametrize(
    "saved",
    [
        '"ReconcileSchedule=\\"cron(0 6 * * ? *)\\" KeyPrefix=\\"\\" LogLevel=\\"INFO\\""',
        '["ReconcileSchedule=cron(0 6 * * ? *)", "KeyPrefix=", "LogLevel=INFO"]',
        '["ReconcileSchedule=\\"cron(0 6 * * ? *)\\"", "KeyPrefix=\\"\\" LogLevel=\\"INFO\\""]',
    ],
)
def test_what_sam_wrote_is_read_as_sam_reads_it(tmp_path: Path, saved: str) -> None:
    """Text or list, quoted or not, with blanks and empty values."""
    stage = read_stage("prod", config(tmp_path, saved))
    assert stage.written_by_sam == {
        "ReconcileSchedule": "cron(0 6 * * ? *)",
        "KeyPrefix": "",
        "LogLevel": "INFO",
    }
    assert (stage.is_ours, dict(stage.values)) == (False, {})


def test_a_table_is_what_somebody_set(tmp_path: Path) -> None:
    """TOML's numbers, words and lists become the texts that CloudFormation takes."""
    path = config(tmp_path)
    text = path.read_text().replace('parameter_overrides = "LogLevel=\\"INFO\\""\n', TABLE)
    path.write_text(text)
    stage = read_stage("prod", path)
    assert stage.is_ours
    assert stage.values == {
        "KeyTemplate": "{job_id}",
        "MaximumConcurrency": "10",
        "ReceiveCallbacks": "false",
        "SubnetIds": "subnet-1,subnet-2",
    }
    read: Any = CfnParameterOverridesType().convert(
        tomllib.loads(text)["prod"]["deploy"]["parameters"]["parameter_overrides"], None, None
    )
    assert read.keys() == stage.values.keys()  # sam takes the table too


def test_comments_and_other_sections_survive_a_change(tmp_path: Path) -> None:
    """Line by line: what is set, unset and left alone; the table stands in for SAM's text."""
    path = config(tmp_path)
    before = path.read_text()
    save_stage("prod", path, region="eu-central-1", values={"KeyPrefix": "a/"}, tags={"team": "x"})
    stage = read_stage("prod", path)
    assert (stage.is_ours, stage.values, stage.tags) == (True, {"KeyPrefix": "a/"}, {"team": "x"})
    first, _, _ = before.partition("parameter_overrides")
    assert path.read_text().startswith(first)

    path.write_text(CONFIG.format(saved="1").replace("parameter_overrides = 1\n", TABLE))
    kept = {"KeyTemplate": "{job_id}", "MaximumConcurrency": "10", "MemorySize": "256"}
    save_stage("prod", path, region="eu-central-1", values=kept, tags={})
    text = path.read_text()
    assert "# agreed with the lake's people" in text
    assert "MaximumConcurrency = 10\n" in text
    assert "SubnetIds" not in text
    assert read_stage("prod", path).values == kept
    assert path.read_text() == text


def test_a_first_region_stands_with_the_plain_keys(tmp_path: Path) -> None:
    """And the next section keeps its blank line."""
    path = config(tmp_path)
    save_stage("dev", path, region="us-west-2", values={"AlarmEmail": "a@example.com"}, tags={})
    save_stage("dev", path, region="us-west-2", values={"AlarmEmail": "b@example.com"}, tags={})
    stage = read_stage("dev", path)
    assert (stage.region, stage.values) == ("us-west-2", {"AlarmEmail": "b@example.com"})
    text = path.read_text()
    assert "# dev is for trying" in text
    assert '"b@example.com"\n\n[prod.deploy.parameters]\n' in text
    assert read_stage("prod", path).written_by_sam == {"LogLevel": "INFO"}


def test_a_stage_that_sets_nothing_is_known_to_set_nothing(tmp_path: Path) -> None:
    """An empty table is not a stage that was never deployed."""
    path = config(tmp_path)
    assert not read_stage("dev", path).is_ours
    save_stage("dev", path, region="us-west-2", values={}, tags={})
    assert read_stage("dev", path).is_ours


@pytest.mark.parametrize(
    ("saved", "expected"),
    [
        ('"a=1 b=2"', {"a": "1", "b": "2"}),
        ('["a=1", "b=2"]', {"a": "1", "b": "2"}),
        ('{a = "1", b = 2}', {"a": "1", "b": "2"}),
    ],
)
def test_tags_are_read_in_every_form(tmp_path: Path, saved: str, expected: dict[str, str]) -> None:
    """SAM's two, and a table."""
    path = config(tmp_path)
    path.write_text(path.read_text() + f"tags = {saved}\n")
    assert read_stage("prod", path).tags == expected


@pytest.mark.parametrize("stage", ["", "default", "test", "version"])
def test_a_stage_must_be_named(tmp_path: Path, stage: str) -> None:
    """Nothing is deployed or deleted that nobody named; the remedy is said."""
    with pytest.raises(Failure, match="give one of dev, prod, or copy the section"):
        read_stage(stage, config(tmp_path))


def test_a_name_that_would_not_deploy_is_refused(tmp_path: Path) -> None:
    """Before anything is built: a rule's name may have 64 characters."""
    path = config(tmp_path)
    for name, complaint in (
        ("s" * 60, "60 characters; 59 are the most"),
        ("archiver_dev", "letters, digits and hyphens"),
        ("", "names no stack"),
    ):
        path.write_text(CONFIG.format(saved='""').replace("archiver-dev", name))
        with pytest.raises(Failure, match=complaint):
            read_stage("dev", path)
    path.write_text(CONFIG.format(saved='""').replace("archiver-dev", "s" * 59))
    assert read_stage("dev", path).stack == "s" * 59


@pytest.mark.parametrize("text", ["stack_name = ", "[dev]\nx = 1\n[dev]\n", "\udcff"])
def test_a_file_that_cannot_be_read_is_told(tmp_path: Path, text: str) -> None:
    """In a sentence with its name."""
    path = tmp_path / "samconfig.toml"
    path.write_text(text, errors="surrogateescape")
    with pytest.raises(Failure, match=r"samconfig\.toml cannot be read"):
        read_stage("dev", path)
    with pytest.raises(Failure, match="cannot be read"):
        read_stage("dev", tmp_path / "none.toml")


@pytest.mark.parametrize("name", ["dev", "prod"])
def test_a_deploy_uses_every_setting_of_the_projects_own_stages(name: str) -> None:
    """None is written there for nothing, and the two are stacks of their own."""
    stages = [read_stage(stage, REPOSITORY / "samconfig.toml") for stage in ("dev", "prod")]
    assert stages[0].stack != stages[1].stack
    assert read_stage(name, REPOSITORY / "samconfig.toml").unused == []
