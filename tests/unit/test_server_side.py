"""The server-side copy, at sizes that only fakes can hold."""

from __future__ import annotations

import pytest

from archiver.errors import Deferral
from archiver.telemetry import NoSteps
from archiver.transfer.contract import ObjectSpec, SourceNotGranted
from archiver.transfer.plan import GIB, MIB
from archiver.transfer.server_side import ServerSideCopy
from tests.unit.fakes import FakeStore

SPEC = ObjectSpec("k", "text/csv", None, {})
NAME = {"Bucket": "vendor", "Key": "export.csv"}


def store_with(size_bytes: int) -> FakeStore:
    """Return a store that may copy one source of this size."""
    return FakeStore(granted={("vendor", "export.csv"): (size_bytes, '"source"')})


def copier(store: FakeStore, remaining_seconds: float = 900) -> ServerSideCopy:
    """Return a copier with this much time."""
    return ServerSideCopy(store, NoSteps(), lambda: remaining_seconds)


def test_100_gib_are_copied_in_200_parts_and_no_byte_passes_us() -> None:
    """The plan covers the source with ranges of 512 MiB; nothing is read or written by us."""
    store = store_with(100 * GIB)
    copy = copier(store)
    copy.copy(copy.look(NAME), SPEC)
    assert store.objects["k"].size_bytes == 100 * GIB
    assert store.asked == {"head_source": 1, "create": 1, "copy": 200, "list": 1, "complete": 1}
    assert f"bytes=0-{512 * MIB - 1}" in store.ranges
    assert len(set(store.ranges)) == 200


def test_a_source_of_one_part_is_copied_without_a_range() -> None:
    """S3 refuses ranges on sources of up to 5 MB; one part needs none."""
    store = store_with(1)
    copy = copier(store)
    copy.copy(copy.look(NAME), SPEC)
    assert store.ranges == [None]


def test_a_source_that_is_not_granted_is_said_to_be_so() -> None:
    """The caller streams instead."""
    with pytest.raises(SourceNotGranted):
        copier(FakeStore()).look(NAME)


def test_a_source_that_changes_mid_copy_leaves_no_upload() -> None:
    """CopySourceIfMatch refuses, the upload is aborted, nothing is committed."""
    store = store_with(GIB)
    copy = copier(store)
    source = copy.look(NAME)
    store.granted[("vendor", "export.csv")] = (GIB, '"other"')
    with pytest.raises(SourceNotGranted):
        copy.copy(source, SPEC)
    assert store.uploads == {}
    assert store.objects == {}


def test_out_of_time_is_a_deferral_and_leaves_no_upload() -> None:
    """A part is not begun that could not be followed by a commit."""
    store = store_with(GIB)
    copy = copier(store, remaining_seconds=30)
    with pytest.raises(Deferral) as deferred:
        copy.copy(copy.look(NAME), SPEC)
    assert deferred.value.reason == "out_of_time"
    assert store.uploads == {}
