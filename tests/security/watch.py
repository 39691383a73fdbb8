"""What every run of the whole stack is held to at its end, whatever it was about."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from local.cloud import LocalCloud
from tests.security.calls import refused_calls
from tests.taint.cloud import evidence, secrets_of
from tests.taint.shared import SEARCHER

__all__ = ["watched"]


@contextmanager
def watched(cloud: LocalCloud) -> Iterator[None]:
    """Watch a run: it leaves no secret anywhere, and makes no call that its roles do not allow."""
    SEARCHER.add(secrets_of(cloud))
    yield
    SEARCHER.add(secrets_of(cloud))
    assert [str(finding) for finding in SEARCHER.search(evidence(cloud))] == []
    assert refused_calls(cloud) == []
