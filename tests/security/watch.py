"""What every run of the whole stack is held to at its end, whatever it was about."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from local.cloud import LocalCloud
from tests.schemas import schema_errors
from tests.security.calls import refused_calls
from tests.taint.cloud import evidence, secrets_of
from tests.taint.shared import SEARCHER

__all__ = ["watched"]


@contextmanager
def watched(cloud: LocalCloud) -> Iterator[None]:
    """Watch a run: no secret left, no call that its roles refuse, no event beside its schema."""
    SEARCHER.add(secrets_of(cloud))
    yield
    emitted = cloud.emitted_events()
    assert [error for event in emitted for error in schema_errors(event)] == []
    SEARCHER.add(secrets_of(cloud))
    assert [str(finding) for finding in SEARCHER.search(evidence(cloud))] == []
    assert refused_calls(cloud) == []
