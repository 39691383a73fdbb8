"""The catalogue as people may read it (archiver/catalogue.py), and what writes it for them.

The bucket's policy takes no write of theirs: archive_export writes, when it is invoked for that
(archiving/catalogue_upkeep.py).
"""

from __future__ import annotations

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from archiver.aws.moves import Table
from archiver.catalogue import FOLDER, RECORDS_FOLDER, read_line
from cli.athena_ddl import DEFAULT_KEY_TEMPLATE
from cli.failure import NO, Failure
from cli.stack import read_outputs

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from mypy_boto3_s3 import S3Client

    from archiver.receipt import Receipt

__all__ = ["AT_ONCE", "Archive", "Listed", "archive_of", "progress"]

AT_ONCE = 16  # requests in flight: 10 ms each make some 1,500 a second, a million in ten minutes
_LONGEST_INVOCATION_SECONDS = 910  # Lambda's 900, and the way there and back


@dataclass(frozen=True, slots=True)
class Listed:
    """An object as a listing tells it."""

    key: str
    modified: datetime

    @property
    def folder(self) -> str:
        """Its key up to its last slash."""
        return self.key.rpartition("/")[0] + "/"

    @property
    def is_month(self) -> bool:
        """Whether it holds many entries, of the catalogue's objects."""
        return self.key.endswith(".jsonl")


@dataclass(frozen=True)
class Archive:
    """A stack's bucket, below its prefix, its table, and the function that writes there."""

    bucket: str
    prefix: str
    key_template: str
    table: str
    function: str
    s3: S3Client

    @cached_property
    def items(self) -> Table:
        """The table's items, as a move (states.py) writes them."""
        config = Config(max_pool_connections=AT_ONCE, retries={"mode": "standard"})
        return Table(boto3.client("dynamodb", config=config), self.table)

    @property
    def catalogue(self) -> str:
        """The folder of the catalogue."""
        return self.prefix + FOLDER

    @property
    def records(self) -> str:
        """The folder of what was superseded (archiver/superseded.py)."""
        return self.prefix + RECORDS_FOLDER

    def pages(self, prefix: str) -> Iterator[list[Listed]]:
        """Yield what lies below a prefix, in the order of keys, a thousand at a time."""
        paginator = self.s3.get_paginator("list_objects_v2")
        for page in paginator.paginate(Bucket=self.bucket, Prefix=prefix):
            yield [Listed(it["Key"], it["LastModified"]) for it in page.get("Contents", [])]

    def read(self, key: str) -> bytes | None:
        """Return an object's bytes, None where there is none any more; raises what boto3 raises."""
        try:
            return self.s3.get_object(Bucket=self.bucket, Key=key)["Body"].read()
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404:
                return None
            raise

    def lines(self, key: str) -> Iterator[tuple[bytes, Receipt | None]]:
        """Yield each line of an object of the catalogue, with its receipt; None: it is no entry."""
        for line in (self.read(key) or b"").splitlines(keepends=True):
            try:
                yield line, read_line(line, prefix=self.prefix)
            except ValueError:
                yield line, None

    def read_many(self, keys: Sequence[str]) -> Iterator[tuple[str, bytes | None]]:
        """Yield objects with their bytes, some at a time."""
        with ThreadPoolExecutor(AT_ONCE) as workers:
            yield from workers.map(lambda key: (key, self.read(key)), keys)

    def ask(self, **asked: object) -> dict[str, Any]:
        """Have the function write into the catalogue; raises Failure where it did not."""
        config = Config(read_timeout=_LONGEST_INVOCATION_SECONDS, retries={"total_max_attempts": 1})
        invoked: dict[str, Any] = dict(
            boto3.client("lambda", config=config).invoke(
                FunctionName=self.function, Payload=json.dumps({"catalogue": asked}).encode()
            )
        )
        told: dict[str, Any] = json.loads(invoked["Payload"].read())
        if "FunctionError" in invoked:
            raise Failure(f"the function failed: {told.get('errorMessage', told)}", NO)
        if "queued" in told:  # it has taken it for a message, which becomes a dead letter
            raise Failure("this version of the function writes no catalogue: deploy anew", NO)
        if said := told.get("failed") or told.get("refused"):
            raise Failure(f"the function could not go on, and may be asked again: {said}")
        return told


def archive_of(stack: str) -> Archive:
    """Ask a stack where its archive is; raises what boto3 raises."""
    outputs = read_outputs(stack)
    function = outputs["ArchiveExportFunctionName"]
    told = boto3.client("lambda").get_function_configuration(FunctionName=function)
    variables = told.get("Environment", {}).get("Variables", {})
    config = Config(max_pool_connections=AT_ONCE, retries={"mode": "standard", "max_attempts": 5})
    return Archive(
        bucket=outputs["ArchiveBucketName"],
        prefix=variables.get("KEY_PREFIX", ""),
        key_template=variables.get("KEY_TEMPLATE") or DEFAULT_KEY_TEMPLATE,
        table=outputs["ArchiveTableName"],
        function=function,
        s3=boto3.client("s3", config=config),
    )


def progress(said: str) -> None:
    """Say how far it is, on standard error: what is printed beside is for programs, too."""
    print(said, file=sys.stderr, flush=True)
