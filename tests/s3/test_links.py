"""Links that the server checks: signature, expiry, and the source behind them as it changes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from threading import Event

import pytest

from archiver.apartmentiq.link import Link
from archiver.errors import Failure
from local.apartmentiq import SyntheticExport, sha256_of
from local.apartmentiq.links import LinkMaker, SigningKeys
from tests.s3.front import Fault
from tests.s3.stage import MIB, SOURCE, Stage

EXPORT = SyntheticExport(17 * MIB, seed=17)
PART_BYTES = 5 * MIB


def signed_at(stage: Stage, key: str, at: datetime, valid_for_seconds: int) -> Link:
    """Return a link that was signed at some time; botocore signs for now alone."""
    server = stage.server
    keys = SigningKeys(server.access_key_id, server.secret_access_key)
    url = LinkMaker(stage.front.authority, keys).link(
        SOURCE, key, at=at, valid_for_seconds=valid_for_seconds, signed_headers={}, query={}
    )
    return stage.read(url)


def tampered(stage: Stage, key: str) -> Link:
    """Return a link whose signature is another's."""
    url = stage.signed(key)
    return stage.read(url[:-1] + ("0" if url[-1] != "0" else "1"))


def test_a_link_with_a_wrong_signature_is_refused_and_a_fresh_one_asked_for(stage: Stage) -> None:
    """Once; the copy goes on with the fresh one."""
    key = stage.put_export(EXPORT)
    stage.copy(key, first=tampered(stage, key))
    assert stage.source_calls()[0].status == 403
    assert stage.links_asked == 1
    assert stage.archived_sha256() == sha256_of(EXPORT)


def test_an_expired_link_is_refused_and_a_fresh_one_asked_for(stage: Stage) -> None:
    """After its seven days: S3 says 403, rclone 400."""
    key = stage.put_export(EXPORT)
    eight_days_ago = datetime.now(UTC) - timedelta(days=8)
    stage.copy(key, first=signed_at(stage, key, eight_days_ago, valid_for_seconds=604_800))
    assert stage.source_calls()[0].status in {400, 403}
    assert stage.links_asked == 1
    assert stage.archived_sha256() == sha256_of(EXPORT)


def test_a_link_that_expires_in_mid_copy_is_asked_for_again(stage: Stage) -> None:
    """The part that was refused goes on with the fresh link; the finished ones stay."""
    key = stage.put_export(EXPORT)
    expires_at = datetime.now(UTC) + timedelta(seconds=5)  # for two parts, on a busy machine
    first = signed_at(stage, key, expires_at - timedelta(days=7), valid_for_seconds=604_800)

    def outlive_the_link() -> None:
        while datetime.now(UTC) < expires_at + timedelta(seconds=1):
            Event().wait(0.05)

    stage.front.spoil(Fault(stage.to_source(start=2 * PART_BYTES), before=outlive_the_link))
    stage.copy(key, first=first, copier=stage.copier(part_bytes=PART_BYTES, in_flight=1))
    assert stage.links_asked == 1
    assert [call.status < 300 for call in stage.source_calls()] == [True, True, False, True, True]
    assert [call.part_number for call in stage.part_calls()] == [1, 2, 3, 4]
    assert stage.archived_sha256() == sha256_of(EXPORT)


def test_a_source_that_refuses_every_fresh_link_is_a_failure(stage: Stage) -> None:
    """It is not asked for ever, and nothing appears at the key."""
    key = stage.put_export(EXPORT)
    bad = tampered(stage, key)
    asked: list[Link] = []

    def ask_for_link() -> Link:
        asked.append(bad)
        return bad

    with pytest.raises(Failure, match="refuses every fresh link"):
        stage.copy(key, first=bad, ask=ask_for_link)
    assert len(asked) == 3
    assert stage.keys() == []


@pytest.mark.parametrize("before_part", [1, 3], ids=["early", "late"])
def test_a_source_that_changes_in_mid_copy_is_copied_afresh(stage: Stage, before_part: int) -> None:
    """S3 refuses If-Match, rclone tells another ETag: two exports never mix, one upload is left."""
    change_in_mid_copy(stage, SyntheticExport(EXPORT.size_bytes, seed=18), before_part)


@pytest.mark.parametrize("size_bytes", [18 * MIB, 16 * MIB + 1], ids=["longer", "shorter"])
def test_a_source_of_another_size_in_mid_copy_is_copied_afresh(
    stage: Stage, size_bytes: int
) -> None:
    """All of it, as it is now, whether or not the store heeds If-Match."""
    change_in_mid_copy(stage, SyntheticExport(size_bytes, seed=19), 2)


def change_in_mid_copy(stage: Stage, changed: SyntheticExport, before_part: int) -> None:
    """Change the source just before one of its parts is read."""
    key = stage.put_export(EXPORT, key=f"exports/{stage.job.job_id}.csv")
    stage.front.spoil(
        Fault(
            stage.to_source(start=before_part * PART_BYTES),
            before=lambda: stage.change_export(changed, key),
        )
    )
    stage.copy(key, copier=stage.copier(part_bytes=PART_BYTES, in_flight=1))
    refused = 412 in [call.status for call in stage.source_calls()]
    assert refused == stage.server.can("conditions")
    assert stage.archived_sha256() == sha256_of(changed)
    begun = [call for call in stage.front.calls if stage.to_archive("POST", "uploads")(call)]
    assert len(begun) == 2
    assert stage.uploads() == []


AWKWARD_KEYS = [
    "exports/2026 Q1/units (final).csv",
    "exports/ümläut/+plus&amp=1;x,y.csv",
    "exports/100%25 sure/a%2Fb.csv",
    "exports/~tilde-_.'!*.csv",
]


@pytest.mark.parametrize("key", AWKWARD_KEYS)
def test_awkward_keys_are_read_as_they_were_signed(stage: Stage, key: str) -> None:
    """The signature covers the path byte for byte; whatever rewrote it would be refused."""
    export = SyntheticExport(MIB, seed=len(key))
    stage.copy(stage.put_export(export, key=key))
    assert stage.links_asked == 0
    assert stage.archived_sha256() == sha256_of(export)


@pytest.mark.needs("checksums")
@pytest.mark.parametrize("size_bytes", [MIB, 20 * MIB])
def test_a_link_may_ask_for_the_sources_own_checksum(stage: Stage, size_bytes: int) -> None:
    """Its one other header that can be signed is sent along, or the signature would not hold."""
    export = SyntheticExport(size_bytes, seed=3)
    key = stage.put_export(export)
    stage.copy(key, first=stage.link(key, ChecksumMode="ENABLED"))
    assert {call.headers.get("x-amz-checksum-mode") for call in stage.source_calls()} == {"ENABLED"}
    assert stage.links_asked == 0
    assert stage.archived_sha256() == sha256_of(export)


@pytest.mark.needs("versions")
def test_a_link_to_a_version_gets_that_version(stage: Stage) -> None:
    """Also when a newer one has been put since."""
    stage.people.put_bucket_versioning(Bucket=SOURCE, VersioningConfiguration={"Status": "Enabled"})
    key = stage.put_export(EXPORT, key=f"exports/{stage.job.job_id}.csv")
    version = stage.people.head_object(Bucket=SOURCE, Key=key)["VersionId"]
    stage.change_export(SyntheticExport(MIB, seed=9), key)
    stage.copy(key, first=stage.link(key, VersionId=version))
    assert stage.archived_sha256() == sha256_of(EXPORT)
    stage.people.put_bucket_versioning(
        Bucket=SOURCE, VersioningConfiguration={"Status": "Suspended"}
    )


def test_nothing_but_what_was_signed_is_sent_to_the_source(stage: Stage) -> None:
    """No Authorization, no x-amz-* header: S3 refuses both beside a link."""
    stage.copy(stage.put_export(EXPORT))
    sent = {name for call in stage.source_calls() for name in call.headers}
    assert sent == {"host", "accept-encoding", "range", "if-match"}
