"""Links: a spoilt one is refused without a piece of its query being shown."""

from __future__ import annotations

import pytest

from archiver.apartmentiq.link import TrustedHosts, read_link
from archiver.errors import Failure

S3 = "https://exports.s3.amazonaws.com/job.csv"


@pytest.mark.parametrize(
    ("signed", "shown"),
    [
        ("host%3Brange", "range"),
        ("host%3Bx-amz-server-side-encryption", "x-amz-server-side-encryption"),
        ("hostX-Amz-Signature=5f3ac9e1d7b80264", "no plain name"),
        ("host;5f3ac9e1d7b80264", "no plain name"),
    ],
)
def test_a_demanded_header_is_named_only_if_it_is_surely_a_name(signed: str, shown: str) -> None:
    """An ampersand lost on the way puts the signature where a header's name should be."""
    with pytest.raises(Failure) as failed:
        read_link(f"{S3}?X-Amz-SignedHeaders={signed}", TrustedHosts())
    assert shown in failed.value.detail
    assert "5f3ac9" not in failed.value.detail


def test_a_link_shows_no_query_that_has_become_its_path() -> None:
    """A lost question mark makes the query a part of the key."""
    assert "canary" not in repr(read_link(f"{S3}X-Amz-Signature=canary", TrustedHosts()))
