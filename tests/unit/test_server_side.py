"""The server-side copy, at sizes that only fakes can hold."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from archiver.errors import Deferral
from archiver.telemetry import NoSteps
from archiver.transfer.checkpoint import Uploads
from archiver.transfer.contract import Checkpoint, ObjectSpec, SourceNotGranted
from archiver.transfer.plan import GIB, MIB
from archiver.transfer.server_side import ServerSideCopy
from tests.unit.fakes import FakeStore

SPEC = ObjectSpec("k", "text/csv", None, {"copy-method": "server_side"})
NAME = {"Bucket": "vendor", "Key": "export.csv"}


def store_with(size_bytes: int) -> FakeStore:
    """Return a store that may copy one source of this size."""
    return FakeStore(granted={("vendor", "export.csv"): (size_bytes, '"source"')})


def copier(
    store: FakeStore, remaining_seconds: Callable[[], float] = lambda: 900
) -> ServerSideCopy:
    """Return a copier with this much time."""
    return ServerSideCopy(store, NoSteps(), remaining_seconds)


def uploads(store: FakeStore, known: Checkpoint | None = None) -> Uploads:
    """Return the uploads of an attempt."""
    return Uploads(store, "k", known, known is None, lambda _: None)


def test_100_gib_are_copied_in_200_parts_and_no_byte_passes_us() -> None:
    """The plan covers the source with ranges of 512 MiB; nothing is read or written by us."""
    store = store_with(100 * GIB)
    copy = copier(store)
    copy.copy(copy.look(NAME), SPEC, uploads(store))
    assert store.objects["k"].size_bytes == 100 * GIB
    assert store.asked == {"head_source": 1, "create": 1, "copy": 200, "list": 1, "complete": 1}
    assert f"bytes=0-{512 * MIB - 1}" in store.ranges
    assert len(set(store.ranges)) == 200


def test_a_source_of_one_part_is_copied_without_a_range() -> None:
    """S3 refuses ranges on sources of up to 5 MB; one part needs none."""
    store = store_with(1)
    copy = copier(store)
    copy.copy(copy.look(NAME), SPEC, uploads(store))
    assert store.ranges == [None]


def test_a_source_that_is_not_granted_is_said_to_be_so() -> None:
    """The caller streams instead."""
    with pytest.raises(SourceNotGranted):
        copier(FakeStore()).look(NAME)


def test_a_source_that_changes_mid_copy_is_not_committed() -> None:
    """CopySourceIfMatch refuses; the caller discards the upload and streams."""
    store = store_with(GIB)
    copy = copier(store)
    source = copy.look(NAME)
    store.granted[("vendor", "export.csv")] = (GIB, '"other"')
    with pytest.raises(SourceNotGranted):
        copy.copy(source, SPEC, uploads(store))
    assert store.objects == {}


def test_without_time_for_a_part_nothing_is_begun() -> None:
    """No upload is created that this invocation could put nothing into."""
    store = store_with(GIB)
    copy = copier(store, lambda: 20)
    with pytest.raises(Deferral) as deferred:
        copy.copy(copy.look(NAME), SPEC, uploads(store))
    assert deferred.value.reason == "out_of_time"
    assert store.asked == {"head_source": 1}


def test_out_of_time_after_a_part_goes_on_at_once_and_copies_no_part_again() -> None:
    """The next attempt asks S3 only for the parts that it does not list."""
    store = store_with(100 * GIB)
    copy = copier(store, lambda: 1 if store.asked["copy"] >= 40 else 900)
    with pytest.raises(Deferral) as deferred:
        copy.copy(copy.look(NAME), SPEC, uploads(store))
    assert deferred.value.wait_seconds == 0
    assert 0 < store.asked["copy"] < 200
    known = Checkpoint("upload-1", 512 * MIB, "source", 100 * GIB, "server_side")
    again = copier(store)
    again.copy(again.look(NAME), SPEC, uploads(store, known))
    assert store.asked["copy"] == 200
    assert store.asked["create"] == 1
    assert store.objects["k"].size_bytes == 100 * GIB
