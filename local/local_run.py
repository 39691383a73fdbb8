"""The local run as the tools see it: `--stack local` is the stack that `make local` keeps up.

It points this process's AWS clients at the run by the environment, as a person would by the
variables that `make local` prints. It must not start anything.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

from local.state_folder import UP_FOLDER, is_held
from local.surroundings import forget_aws_settings, reach_loopback_directly

__all__ = ["DEFAULT_STATE_FOLDER", "LOCAL", "LocalRun", "NoLocalRunError", "enter_local_run"]

LOCAL = "local"  # what STACK= names it
DEFAULT_STATE_FOLDER = UP_FOLDER


class NoLocalRunError(Exception):
    """`make local` does not run; the text says what to do."""


@dataclass(frozen=True, slots=True)
class LocalRun:
    """The run's stack, and the folders and files that it leaves for people."""

    stack: str
    logs_folder: Path
    traces_path: Path


def enter_local_run(state_folder: Path = DEFAULT_STATE_FOLDER) -> LocalRun:
    """Point boto3 at the run; raises NoLocalRunError when there is none."""
    path = state_folder / "endpoints.json"
    if path.exists() and not is_held(state_folder):
        raise NoLocalRunError(
            f"No local run: the one that wrote {path} was killed. Start one: make local"
        )
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise NoLocalRunError(
            f"No local run: {path} is not there. Start one: make local"
        ) from error
    forget_aws_settings()  # a profile's keys, or a service's own endpoint, would win over these
    os.environ.update(
        {
            "AWS_ENDPOINT_URL": told["aws_endpoint_url"],
            "AWS_ENDPOINT_URL_S3": told["s3_endpoint_url"],
            "AWS_CA_BUNDLE": told["ca_bundle"],
            "AWS_DEFAULT_REGION": told["region"],
            "AWS_ACCESS_KEY_ID": told["access_key_id"],
            "AWS_SECRET_ACCESS_KEY": told["secret_access_key"],
        }
    )
    reach_loopback_directly()
    return LocalRun(told["stack"], state_folder / "logs", state_folder / "traces.jsonl")
