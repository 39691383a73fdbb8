"""The server-side copy, at sizes that only fakes can hold."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from archiver.claim import Checkpoint
from archiver.errors import Deferral, Failure
from archiver.telemetry import NoSteps
from archiver.transfer.checkpoint import Uploads
from archiver.transfer.contract import ObjectSpec, SourceNotGranted
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


def test_100_gib_are_copied_in_128_parts_and_no_byte_passes_us() -> None:
    """The plan covers the source with as many ranges as are copied at once; we read nothing."""
    store = store_with(100 * GIB)
    copy = copier(store)
    copy.copy(copy.look(NAME), SPEC, uploads(store))
    assert store.objects["k"].size_bytes == 100 * GIB
    assert store.asked == {"head_source": 1, "create": 1, "copy": 128, "list": 1, "complete": 1}
    assert f"bytes=0-{800 * MIB - 1}" in store.ranges
    assert len(set(store.ranges)) == 128


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
    copy = copier(store, lambda: 16)
    with pytest.raises(Deferral) as deferred:
        copy.copy(copy.look(NAME), SPEC, uploads(store))
    assert deferred.value.reason == "out_of_time"
    assert store.asked == {"head_source": 1}


def test_an_upload_of_an_earlier_release_is_gone_on_with_in_its_own_parts() -> None:
    """1.x cut by 512 MiB: out of time is deferred at once, and no finished part is copied again."""
    store = store_with(100 * GIB)
    upload = store.begin_upload(SPEC)
    known = Checkpoint(upload.upload_id, 512 * MIB, "source", 100 * GIB, "server_side")
    copy = copier(store, lambda: 1 if store.asked["copy"] >= 40 else 900)
    with pytest.raises(Deferral) as deferred:
        copy.copy(copy.look(NAME), SPEC, uploads(store, known))
    assert deferred.value.wait_seconds == 0
    assert 0 < store.asked["copy"] < 200
    again = copier(store)
    again.copy(again.look(NAME), SPEC, uploads(store, known))
    assert store.asked["copy"] == len(set(store.ranges)) == 200
    assert store.asked["create"] == 1
    assert store.objects["k"].size_bytes == 100 * GIB


def test_a_part_that_s3_refuses_for_the_moment_is_asked_for_again() -> None:
    """A SlowDown ends no copy: what others have copied stays, and the pauses are of seconds."""
    store = store_with(10 * GIB)
    refusals = iter(range(3))
    paused: list[float] = []

    def refuse(number: int) -> None:
        if number in {7, 70} and next(refusals, None) is not None:
            raise Failure("aws_error", "Copying a part server-side: SlowDown.")

    store.on_part = refuse
    copy = copier(store)
    copy.pause = paused.append
    copy.copy(copy.look(NAME), SPEC, uploads(store))
    assert store.objects["k"].size_bytes == 10 * GIB
    assert store.asked["copy"] == len(set(store.ranges)) == 80
    assert 1 <= len(paused) <= 3
    assert max(paused) < 10


def test_a_refusal_that_stays_ends_the_copy_with_its_own_reason() -> None:
    """When the time is up, too: "out of time" would hide what is wrong."""
    store = store_with(10 * GIB)
    clock = iter([900.0] * 200)

    def refuse(_: int) -> None:
        raise Failure("aws_error", "Copying a part server-side: InternalError.")

    store.on_part = refuse
    for remaining_seconds in (lambda: 900.0, lambda: next(clock, 1.0)):
        copy = copier(store, remaining_seconds)
        copy.pause = lambda _: None
        with pytest.raises(Failure, match="InternalError"):
            copy.copy(copy.look(NAME), SPEC, uploads(store))
