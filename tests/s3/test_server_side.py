"""The server copies from bucket to bucket where we are granted it; no byte passes through us."""

from __future__ import annotations

import pytest

from archiver.transfer.checksum import crc64nvme, encode_crc64nvme
from archiver.transfer.contract import ObjectSpec
from local.apartmentiq import SyntheticExport, sha256_of
from tests.s3.front import Fault
from tests.s3.stage import MIB, SOURCE, Stage

PART_BYTES = 5 * MIB
copies = pytest.mark.needs("copied parts")


@copies
@pytest.mark.parametrize("size_bytes", [1, 6 * MIB, 20 * MIB])
def test_a_granted_export_is_copied_by_the_server(stage: Stage, size_bytes: int) -> None:
    """By UploadPartCopy and a conditional Complete, at every size; the link is never used."""
    export = SyntheticExport(size_bytes, seed=size_bytes)
    stored = stage.copy(stage.put_export(export), copier=stage.copier(granted=True))
    assert stored.copy_method == "server_side"
    assert stage.archived_sha256() == sha256_of(export)
    assert stage.source_calls() == []
    assert all("x-amz-copy-source" in call.headers for call in stage.part_calls())
    assert stage.uploads() == []


@copies
def test_several_parts_are_copied_by_the_server(stage: Stage) -> None:
    """Each its own range; their checksums make the whole's."""
    export = SyntheticExport(11 * MIB, seed=11)
    copier = stage.copier(granted=True, server_side_part_bytes=PART_BYTES)
    stored = stage.copy(stage.put_export(export), copier=copier)
    ranges = sorted(call.headers["x-amz-copy-source-range"] for call in stage.part_calls())
    assert ranges == ["bytes=0-5242879", "bytes=10485760-11534335", "bytes=5242880-10485759"]
    assert stored.copy_method == "server_side"
    assert stage.archived_sha256() == sha256_of(export)


def test_an_empty_granted_export_is_streamed(stage: Stage) -> None:
    """There is no part to copy."""
    export = SyntheticExport(0)
    stored = stage.copy(stage.put_export(export), copier=stage.copier(granted=True))
    assert (stored.copy_method, stage.archived_sha256()) == ("streaming", sha256_of(export))


@copies
def test_a_source_that_changes_before_it_is_copied_is_streamed(stage: Stage) -> None:
    """CopySourceIfMatch is refused; the copy begins anew with what is there now."""
    key = stage.put_export(SyntheticExport(6 * MIB, seed=6), key=f"exports/{stage.job.job_id}.csv")
    changed = SyntheticExport(6 * MIB, seed=7)
    stage.front.spoil(
        Fault(
            lambda call: call.part_number == 1,
            before=lambda: stage.change_export(changed, key),
        )
    )
    stored = stage.copy(key, copier=stage.copier(granted=True))
    assert stored.copy_method == "streaming"
    assert stage.archived_sha256() == sha256_of(changed)
    assert stage.uploads() == []


@copies
def test_a_part_copied_by_the_server_tells_its_checksum(stage: Stage) -> None:
    """Nobody here saw its bytes."""
    export = SyntheticExport(6 * MIB, seed=6)
    key = stage.put_export(export)
    upload = stage.store.begin_upload(ObjectSpec(stage.key, "text/csv", None, {}))
    etag = stage.people.head_object(Bucket=SOURCE, Key=key)["ETag"]
    part = stage.store.copy_part(upload, 1, {"Bucket": SOURCE, "Key": key}, etag, None)
    body = b"".join(export.chunks(0, export.size_bytes))
    assert part.told_checksum == encode_crc64nvme(crc64nvme(body))


@pytest.mark.lacks("copied parts")
def test_a_server_that_only_says_that_it_copied_is_not_believed(stage: Stage) -> None:
    """It names no part; the bytes are streamed instead, and the empty part is given up."""
    export = SyntheticExport(6 * MIB, seed=6)
    stored = stage.copy(stage.put_export(export), copier=stage.copier(granted=True))
    assert "x-amz-copy-source" in stage.part_calls()[0].headers
    assert stored.copy_method == "streaming"
    assert stage.archived_sha256() == sha256_of(export)
    assert stage.uploads() == []
