"""The boto3 clients with which the local run itself (not the function) talks to its AWS.

Nothing is taken from this machine's AWS configuration: endpoint, keys, region and trust are given.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

import boto3
from botocore.config import Config

if TYPE_CHECKING:
    from pathlib import Path

    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_events import EventBridgeClient
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_secretsmanager import SecretsManagerClient
    from mypy_boto3_sqs import SQSClient

__all__ = ["Credentials", "Endpoint", "LocalClients"]


@dataclass(frozen=True, slots=True)
class Credentials:
    """A pair of AWS keys; the secret one stays out of the repr."""

    access_key_id: str
    secret_access_key: str

    def __repr__(self) -> str:
        return f"Credentials({self.access_key_id!r}, …)"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One AWS-compatible server and the keys that it takes."""

    url: str
    credentials: Credentials


class LocalClients:
    """One boto3 session, its clients made when first asked for (about 50 ms each)."""

    def __init__(
        self, aws: Endpoint, *, region: str, ca_bundle: Path, s3: Endpoint | None = None
    ) -> None:
        self.aws = aws
        self._s3 = s3 or aws
        self._region = region
        self._ca_bundle = str(ca_bundle)
        self._session = boto3.Session(region_name=region)

    @cached_property
    def cloudformation(self) -> CloudFormationClient:
        """CloudFormation, as moto plays it."""
        return cast("CloudFormationClient", self._client("cloudformation"))

    @cached_property
    def cloudwatch(self) -> Any:  # noqa: ANN401 - no stubs of it are among the tools
        """CloudWatch, as moto plays it: alarms and dashboards; nobody publishes metrics there."""
        return self._client("cloudwatch")

    @cached_property
    def dynamodb(self) -> DynamoDBClient:
        """DynamoDB, as moto plays it."""
        return cast("DynamoDBClient", self._client("dynamodb"))

    @cached_property
    def events(self) -> EventBridgeClient:
        """EventBridge, as moto plays it."""
        return cast("EventBridgeClient", self._client("events"))

    @cached_property
    def aws_lambda(self) -> LambdaClient:
        """Lambda, as moto plays it; once the stack is up, Invoke goes to the real runtimes."""
        return cast("LambdaClient", self._client("lambda"))

    @cached_property
    def secretsmanager(self) -> SecretsManagerClient:
        """Secrets Manager, as moto plays it."""
        return cast("SecretsManagerClient", self._client("secretsmanager"))

    @cached_property
    def sqs(self) -> SQSClient:
        """SQS, as moto plays it."""
        return cast("SQSClient", self._client("sqs"))

    @cached_property
    def moto_s3(self) -> S3Client:
        """The embedded S3, which holds the deployed zips even when archives go elsewhere."""
        return cast("S3Client", self._client("s3"))

    @cached_property
    def s3(self) -> S3Client:
        """The S3 that archives go to: the embedded one or the server that the caller named."""
        return cast("S3Client", self._client("s3", self._s3))

    def _client(self, service: str, endpoint: Endpoint | None = None) -> Any:  # noqa: ANN401 - boto3 types its factory by literal names only
        at = endpoint or self.aws
        config = Config(
            retries={"total_max_attempts": 1 if at is self.aws else 3},
            max_pool_connections=32,
            # a proxy of this machine must not stand between it and itself
            proxies={} if at is self.aws else None,
            s3={"addressing_style": "path"},
            # Ceph, R2 and others refuse the trailer that botocore would send otherwise
            request_checksum_calculation="when_required",
        )
        return self._session.client(
            service,  # type: ignore[call-overload]  # the stubs know literal names only
            endpoint_url=at.url,
            region_name=self._region,
            aws_access_key_id=at.credentials.access_key_id,
            aws_secret_access_key=at.credentials.secret_access_key,
            verify=self._ca_bundle,
            config=config,
        )
