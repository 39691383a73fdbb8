"""Parts on the wire: the trailer is taken, what arrives damaged is refused and sent again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

import pytest
from botocore.credentials import Credentials

from archiver.aws.part_writer import PartWriter
from archiver.errors import Failure, Transient
from archiver.transfer.checksum import combine_crc64nvme, encode_crc64nvme
from archiver.transfer.contract import ObjectSpec, Part, Upload, UploadGone, UploadRefused
from local.apartmentiq import SyntheticExport, sha256_of
from tests.s3.front import Fault
from tests.s3.stage import MIB, Stage

FIVE_MIB = SyntheticExport(5 * MIB, seed=5)
OTHER = SyntheticExport(5 * MIB, seed=6)
LAST = SyntheticExport(3 * MIB + 1, seed=7)

Way = Callable[[PartWriter], Callable[..., Part]]
WAYS: list[Way] = [
    lambda writer: writer.send_streaming,
    lambda writer: partial(writer.send_buffered, buffer=memoryview(bytearray(5 * MIB))),
]
needs_checksums = pytest.mark.needs("checksums")
both_ways = pytest.mark.parametrize("way", WAYS, ids=["trailer", "header"])


def begin(stage: Stage) -> Upload:
    """Begin an upload at the job's key."""
    return stage.store.begin_upload(ObjectSpec(stage.key, "text/csv", None, {}))


def send(
    stage: Stage,
    upload: Upload,
    number: int,
    export: SyntheticExport,
    way: Way = WAYS[0],
    writer: PartWriter | None = None,
) -> Part:
    """Send an export as one part."""

    def chunks() -> Iterator[memoryview]:
        return export.chunks(0, export.size_bytes)

    writer = writer or stage.store.part_writer()
    try:
        return way(writer)(upload, number, export.size_bytes, chunks)
    finally:
        writer.close()


@both_ways
def test_a_part_is_taken_and_its_checksum_confirmed(stage: Stage, way: Way) -> None:
    """In one aws-chunk with a trailer, and in a buffer with a header: the same bytes, our CRC."""
    upload = begin(stage)
    part = send(stage, upload, 1, LAST, way)
    confirmed = encode_crc64nvme(part.crc or 0) if stage.server.can("checksums") else None
    assert part.told_checksum == confirmed
    assert sizes(stage, upload) == {1: LAST.size_bytes}


@needs_checksums
@both_ways
def test_a_damaged_part_is_refused(stage: Stage, way: Way) -> None:
    """One bit on the way; the server says what is wrong, and nothing of the part is kept."""
    upload = begin(stage)
    stage.front.spoil(Fault(stage.to_archive("PUT"), flip_a_byte=True))
    with pytest.raises(Transient, match=r"BadDigest|InvalidDigest"):
        send(stage, upload, 1, FIVE_MIB, way)
    assert sizes(stage, upload) == {}


@needs_checksums
def test_a_damaged_part_is_copied_again_and_no_other(stage: Stage) -> None:
    """The copy reads that part anew, and the object is right."""
    export = SyntheticExport(64 * MIB, seed=70)
    key = stage.put_export(export)
    stage.front.spoil(Fault(lambda call: call.part_number == 3, flip_a_byte=True))
    stage.copy(key)
    assert sorted(call.part_number or 0 for call in stage.part_calls()) == [1, 2, 3, 3, 4]
    assert stage.archived_sha256() == sha256_of(export)


def test_a_part_sent_twice_counts_once(stage: Stage) -> None:
    """A repeated part is what a lost answer leaves behind; the object holds it once."""
    upload = begin(stage)
    send(stage, upload, 1, FIVE_MIB)
    parts = [send(stage, upload, 1, FIVE_MIB), send(stage, upload, 2, LAST)]
    commit(stage, upload, parts)
    assert stage.content(stage.key) == whole(FIVE_MIB, LAST)


@pytest.mark.needs("other content")
def test_the_last_of_two_different_parts_with_one_number_counts(stage: Stage) -> None:
    """A source that changed and was copied into the same number must not leave the first behind."""
    upload = begin(stage)
    send(stage, upload, 1, OTHER)
    parts = [send(stage, upload, 1, FIVE_MIB), send(stage, upload, 2, LAST)]
    commit(stage, upload, parts)
    assert stage.content(stage.key) == whole(FIVE_MIB, LAST)


@pytest.mark.needs("listed checksums")
def test_listed_parts_tell_their_checksums(stage: Stage) -> None:
    """What a resumed copy builds the whole's checksum from."""
    upload = begin(stage)
    parts = [send(stage, upload, 1, FIVE_MIB), send(stage, upload, 2, LAST)]
    assert stage.store.list_parts(upload) == parts


@needs_checksums
def test_a_wrong_whole_checksum_is_refused_at_the_commit(stage: Stage) -> None:
    """The store computes the whole's CRC64NVME itself; nothing appears at the key."""
    upload = begin(stage)
    parts = [send(stage, upload, 1, FIVE_MIB), send(stage, upload, 2, LAST)]
    with pytest.raises(UploadRefused):
        commit(stage, upload, parts, off_by=1)
    assert stage.store.find(stage.key) is None


def test_parts_in_the_wrong_order_are_refused_at_the_commit(stage: Stage) -> None:
    """By the checksum of each part: the bytes of one cannot pass for another's."""
    upload = begin(stage)
    one, two = send(stage, upload, 1, FIVE_MIB), send(stage, upload, 2, OTHER)
    swapped = [replace(two, number=1), replace(one, number=2)]
    with pytest.raises(UploadRefused):
        commit(stage, upload, swapped)
    assert stage.store.find(stage.key) is None


def test_an_aborted_upload_is_gone(stage: Stage) -> None:
    """And to abort it again is no failure."""
    upload = begin(stage)
    send(stage, upload, 1, FIVE_MIB)
    assert stage.store.uploads_at(stage.key) == [upload]
    assert stage.store.uploads_at(stage.key[:-1]) == [], "a longer key is another's"
    stage.store.abort_upload(upload)
    stage.store.abort_upload(upload)
    assert stage.store.uploads_at(stage.key) == []


def test_a_bucket_without_uploads_lists_none(stage: Stage) -> None:
    """A later attempt's tidying must not stop there: rclone calls that NoSuchUpload."""
    assert stage.store.uploads_at(stage.key) == []


def test_an_upload_that_is_gone_is_known_as_such(stage: Stage) -> None:
    """So that a copy looks, and begins afresh."""
    upload = begin(stage)
    stage.store.abort_upload(upload)
    with pytest.raises(UploadGone):
        send(stage, upload, 1, FIVE_MIB)
    with pytest.raises(UploadGone):
        stage.store.list_parts(upload)
    with pytest.raises(UploadGone):
        stage.store.commit_upload(upload, [Part(1, '"e"', 1, None, None)], 1, None)


@pytest.mark.needs("request signatures")
def test_a_part_signed_with_another_key_is_refused(stage: Stage) -> None:
    """Our own signature is a real one: the server computes it again, for either way of sending."""
    upload = begin(stage)
    writer = stage.store.part_writer()
    writer.credentials = Credentials(stage.server.access_key_id, "another secret")
    for way in WAYS:
        with pytest.raises(Failure, match="SignatureDoesNotMatch"):
            send(stage, upload, 1, FIVE_MIB, way, writer)
    assert sizes(stage, upload) == {}


def sizes(stage: Stage, upload: Upload) -> dict[int, int]:
    """Return the sizes of the parts that the store holds."""
    return {part.number: part.size_bytes for part in stage.store.list_parts(upload)}


def commit(stage: Stage, upload: Upload, parts: list[Part], *, off_by: int = 0) -> None:
    """Complete an upload with the checksum of its parts, or with one that is off."""
    crc = combine_crc64nvme((part.crc or 0, part.size_bytes) for part in parts)
    size_bytes = sum(part.size_bytes for part in parts)
    stage.store.commit_upload(upload, parts, size_bytes, crc ^ off_by)


def whole(*exports: SyntheticExport) -> bytes:
    """Return the bytes of several exports, one after the other."""
    return b"".join(bytes(c) for each in exports for c in each.chunks(0, each.size_bytes))
