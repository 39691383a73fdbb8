"""The AWS clients of one deploy, each made when it is first asked for."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import boto3
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_s3 import S3Client

__all__ = ["Clients"]


class Clients:
    """One session's clients: its region, its credentials."""

    def __init__(self, session: boto3.Session) -> None:
        self.session = session

    @property
    def region(self) -> str:
        """The session's region; empty where it has none."""
        return self.session.region_name or ""

    @cached_property
    def cloudformation(self) -> CloudFormationClient:
        """CloudFormation."""
        return self.session.client("cloudformation")

    @cached_property
    def aws_lambda(self) -> LambdaClient:
        """Lambda."""
        return self.session.client("lambda")

    @cached_property
    def s3(self) -> S3Client:
        """S3."""
        return self.session.client("s3")

    @cached_property
    def sts(self) -> Any:  # noqa: ANN401 - no stubs of it are among the tools
        """STS."""
        return self.session.client("sts")
