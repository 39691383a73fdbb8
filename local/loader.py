"""The example consumer at work in the local run: docs/examples/load_exports, used as it says.

Its template is deployed beside the stack, subscribed to the stack's bus, and its script runs in a
process of its own. This module must not help it: whatever it needs, its documentation must say.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb

from local.aws.stack import StackError

if TYPE_CHECKING:
    from local.aws.clients import Endpoint, LocalClients
    from local.cloud import LocalCloud

__all__ = ["EXAMPLE", "ExampleLoader", "deploy_subscription", "write_aws_config"]

EXAMPLE = Path(__file__).resolve().parents[1] / "docs" / "examples" / "load_exports"
_STACK_NAME = "local-load-exports"
_PATIENT_SECONDS = 600  # a GiB of CSV takes half a minute on two cores


@dataclass(frozen=True, slots=True)
class ExampleLoader:
    """The consumer's queue, its database, and the AWS configuration that it is started with."""

    queue_url: str
    database: Path
    aws_config: Path

    @classmethod
    def subscribe(cls, cloud: LocalCloud) -> ExampleLoader:
        """Deploy the example's subscription; from now on its queue gets what the stack emits."""
        database = cloud.state_folder / "exports.duckdb"
        database.unlink(missing_ok=True)
        aws_config = cloud.state_folder / "aws-config"
        write_aws_config(
            aws_config, cloud.clients.aws, cloud.s3_endpoint, cloud.region, cloud.ca_bundle
        )
        queue_url = deploy_subscription(cloud.clients, cloud.event_bus)
        return cls(queue_url, database.resolve(), aws_config.resolve())

    @property
    def command(self) -> list[str]:
        """The consumer's command line; AWS_CONFIG_FILE must name `aws_config`."""
        script = str(EXAMPLE / "load_exports.py")
        return [script, "--queue-url", self.queue_url, "--database", str(self.database)]

    def run(self) -> tuple[int, str]:
        """Let the consumer load all that waits; returns its exit code and what it logged."""
        ours = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        done = subprocess.run(
            [sys.executable, *self.command, "--until-empty"],
            env={**ours, "AWS_CONFIG_FILE": str(self.aws_config)},
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=_PATIENT_SECONDS,
            check=False,
        )
        return done.returncode, done.stderr

    def loaded_rows(self) -> dict[str, int]:
        """Return how many rows the consumer's database has of each job."""
        with duckdb.connect(str(self.database), read_only=True) as connection:
            rows = connection.execute("SELECT job_id, row_count FROM loaded").fetchall()
        return {str(job_id): int(count) for job_id, count in rows}


def deploy_subscription(clients: LocalClients, bus: str) -> str:
    """Create the example's stack; returns the URL of its queue."""
    clients.cloudformation.create_stack(
        StackName=_STACK_NAME,
        TemplateBody=(EXAMPLE / "subscription.yaml").read_text(encoding="utf-8"),
        Parameters=[{"ParameterKey": "EventBusName", "ParameterValue": bus}],
    )
    (stack,) = clients.cloudformation.describe_stacks(StackName=_STACK_NAME)["Stacks"]
    outputs = {item["OutputKey"]: item["OutputValue"] for item in stack.get("Outputs", [])}
    if stack["StackStatus"] != "CREATE_COMPLETE":
        raise StackError(f"the example's subscription is {stack['StackStatus']}")
    return outputs["QueueUrl"]


def write_aws_config(path: Path, aws: Endpoint, s3: Endpoint, region: str, ca_bundle: Path) -> None:
    """Write a configuration file with which any AWS tool finds the local run."""
    text = f"""[default]
region = {region}
endpoint_url = {aws.url}
ca_bundle = {ca_bundle.resolve()}
aws_access_key_id = {s3.credentials.access_key_id}
aws_secret_access_key = {s3.credentials.secret_access_key}
services = local
s3 =
  addressing_style = path

[services local]
s3 =
  endpoint_url = {s3.url}
"""
    path.unlink(missing_ok=True)
    with os.fdopen(
        os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8"
    ) as file:
        file.write(text)
