"""What the fakes refuse with is what AWS refuses with: held to botocore's own models."""

from __future__ import annotations

import botocore.session
import pytest
from botocore.retries.standard import ThrottledRetryableChecker

from tests.faults.aws_calls import REFUSALS

# What any service answers, and no model tells: aws_calls.py names the documents.
_COMMON = {"ServiceUnavailable", "InternalFailure", "ThrottlingException"}
_S3 = {"InternalError", "SlowDown"}  # its models tell hardly any


@pytest.mark.parametrize("service", REFUSALS)
def test_each_refusal_is_one_that_the_service_knows(service: str) -> None:
    """In a model of the service's, or among those that AWS documents for all of them."""
    model = botocore.session.get_session().get_service_model(service)
    known = {
        shape.metadata.get("error", {}).get("code", shape.name)
        for name in model.operation_names
        for shape in model.operation_model(name).error_shapes
    }
    told = {code for code, _ in REFUSALS[service]}
    assert told <= known | _COMMON | (_S3 if service == "s3" else set())


@pytest.mark.parametrize("service", REFUSALS)
def test_boto3_tries_again_after_each(service: str) -> None:
    """As the fakes do: after a 5xx, and after a code that botocore counts as throttling."""
    for code, status in REFUSALS[service]:
        codes = ThrottledRetryableChecker._THROTTLED_ERROR_CODES  # type: ignore[attr-defined] # private
        throttles = code in codes
        assert status in {500, 502, 503, 504} or throttles, code
