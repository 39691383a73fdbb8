"""Checksums: CRC64NVME as S3 writes it, in pieces as in one."""

from __future__ import annotations

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from archiver.transfer.checksum import (
    combine_crc64nvme,
    crc64nvme,
    encode_crc64nvme,
    multipart_etag,
    single_etag,
)


def test_the_check_value_of_the_catalogue() -> None:
    """CRC-64/NVME of "123456789" is ae8b14860a799888 (the CRC catalogue's check value)."""
    assert crc64nvme(b"123456789") == 0xAE8B14860A799888
    assert encode_crc64nvme(0xAE8B14860A799888) == "rosUhgp5mIg="


@given(st.lists(st.binary(), min_size=1, max_size=6))
def test_parts_combine_to_the_checksum_of_the_whole(pieces: list[bytes]) -> None:
    """Whatever the cut, the combined checksum is that of the bytes read in one go."""
    whole = crc64nvme(b"".join(pieces))
    assert combine_crc64nvme((crc64nvme(piece), len(piece)) for piece in pieces) == whole
    running = 0
    for piece in pieces:
        running = crc64nvme(memoryview(piece), running)
    assert running == whole


def test_multipart_etag_is_the_md5_of_the_md5s() -> None:
    """So a store without checksums can still be compared with what was sent."""
    digests = [hashlib.md5(piece, usedforsecurity=False) for piece in (b"one", b"two")]
    joined = hashlib.md5(b"".join(d.digest() for d in digests), usedforsecurity=False)
    etags = [f'"{d.hexdigest()}"' for d in digests]
    assert multipart_etag(etags) == f"{joined.hexdigest()}-2"
    assert multipart_etag([*etags, '"not-an-md5"']) is None
    assert multipart_etag([]) is None


def test_single_etag_is_the_md5() -> None:
    """An object that was put at once has its MD5 as ETag."""
    assert single_etag(b"") == "d41d8cd98f00b204e9800998ecf8427e"
