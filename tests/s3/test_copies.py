"""Every size arrives byte for byte, and says truly how it was verified."""

from __future__ import annotations

import base64

import pytest

from local.apartmentiq import SyntheticExport, crc64nvme_of, sha256_of
from tests.s3.stage import MIB, Stage

SIZES = [0, 1, 9 * MIB, 16 * MIB, 16 * MIB + 1, 60 * MIB]
SINGLE_PUT_BYTES = 16 * MIB


def verified(stage: Stage, size_bytes: int) -> str:
    """Return how this server's objects can be verified."""
    single = size_bytes <= SINGLE_PUT_BYTES
    return "crc64nvme" if single or stage.server.can("checksums") else "size"


@pytest.mark.parametrize("size_bytes", SIZES)
def test_every_size_arrives_byte_for_byte(stage: Stage, size_bytes: int) -> None:
    """At and around what fits one PUT, empty, and in several parts at once."""
    export = SyntheticExport(size_bytes, seed=size_bytes)
    stored = stage.copy(stage.put_export(export))
    assert stage.archived_sha256() == sha256_of(export)
    assert stored.size_bytes == size_bytes
    assert stored.checksum_crc64nvme == base64.b64encode(crc64nvme_of(export)).decode()
    assert stored.verified_by == verified(stage, size_bytes)
    assert stage.uploads() == []
    assert_read_and_sent_once(stage, size_bytes)


def assert_read_and_sent_once(stage: Stage, size_bytes: int) -> None:
    """One GET and one PUT for what fits; beyond it one of each for each part of 16 MiB."""
    parts = -(-size_bytes // (16 * MIB)) if size_bytes > SINGLE_PUT_BYTES else 0
    reads = [call for call in stage.source_calls() if call.status != 416]  # empty: asked twice
    assert len(reads) == max(1, parts)
    assert sum(call.answered_bytes for call in reads) == size_bytes
    assert len(stage.part_calls()) == parts


@pytest.mark.needs("checksums", "checksum types")
@pytest.mark.parametrize("size_bytes", [9 * MIB, 20 * MIB])
def test_the_store_itself_tells_the_checksum_of_the_whole(stage: Stage, size_bytes: int) -> None:
    """However it was uploaded, anybody can compare it later without reading a byte."""
    export = SyntheticExport(size_bytes, seed=size_bytes)
    stage.copy(stage.put_export(export))
    told = stage.people.head_object(Bucket=stage.bucket, Key=stage.key, ChecksumMode="ENABLED")
    assert told["ChecksumCRC64NVME"] == base64.b64encode(crc64nvme_of(export)).decode()
    assert told["ChecksumType"] == "FULL_OBJECT"
