"""A copy that ended early goes on: no finished part is read or sent twice, nothing is left behind.

Parts are small and sent one after the other here, so that what is finished is known exactly.
"""

from __future__ import annotations

import pytest

from archiver.errors import Deferral, Failure
from archiver.transfer.contract import ObjectSpec
from archiver.transfer.pace import LEAVE_SECONDS
from local.apartmentiq import SyntheticExport, sha256_of
from tests.s3.front import Call, Fault
from tests.s3.stage import MIB, Stage

PART_BYTES = 5 * MIB
EXPORT = SyntheticExport(15 * MIB + 1, seed=15)  # four parts, the last of one byte
ALL_PARTS = [1, 2, 3, 4]


def attempt(stage: Stage, key: str, number: int = 1) -> None:
    """Run one attempt, part by part, and note only its own calls."""
    stage.front.forget_calls()
    stage.copy(key, attempt=number, copier=stage.copier(part_bytes=PART_BYTES, in_flight=1))


def stop_at_part(stage: Stage, number: int) -> None:
    """Let the store be out of reach for this part and whatever follows it."""

    def hit(call: Call) -> bool:
        return (call.part_number or 0) >= number

    stage.front.spoil(Fault(hit, refuse_connection=True, times=1000))


def stopped_at_part(stage: Stage, key: str, number: int) -> None:
    """Run a first attempt that ends before this part."""
    stop_at_part(stage, number)
    with pytest.raises(Failure, match="broke off"):
        attempt(stage, key)
    stage.front.forget()


def sent_parts(stage: Stage) -> list[int]:
    """Return the numbers of the parts that were sent."""
    return [call.part_number or 0 for call in stage.part_calls()]


@pytest.mark.parametrize("finished", [1, 3])
def test_finished_parts_are_neither_read_nor_sent_again(stage: Stage, finished: int) -> None:
    """Counted on the wire; the whole's checksum is right although nobody saw all of its bytes."""
    key = stage.put_export(EXPORT)
    stopped_at_part(stage, key, finished + 1)
    assert len(stage.uploads()) == 1
    assert stage.keys() == [], "nothing is visible before the commit"
    attempt(stage, key, 2)
    assert sent_parts(stage) == ALL_PARTS[finished:]
    read_bytes = sum(call.answered_bytes for call in stage.source_calls())
    asking = 1  # byte, which tells size and ETag
    assert read_bytes == EXPORT.size_bytes - finished * PART_BYTES + asking
    assert stage.archived_sha256() == sha256_of(EXPORT)
    assert stage.uploads() == []


def test_a_copy_out_of_time_goes_on_at_once(stage: Stage) -> None:
    """It ends by itself while there is time, and the next invocation goes on."""
    key = stage.put_export(EXPORT)

    def run_out_of_time() -> None:
        stage.seconds_left = LEAVE_SECONDS

    stage.front.spoil(Fault(stage.to_source(start=2 * PART_BYTES), before=run_out_of_time))
    stage.seconds_left = 60.0
    with pytest.raises(Deferral) as told:
        attempt(stage, key)
    assert (told.value.reason, told.value.wait_seconds) == ("out_of_time", 0)
    finished = sent_parts(stage)
    stage.seconds_left = 60.0
    attempt(stage, key, 2)
    assert finished + sent_parts(stage) == ALL_PARTS
    assert stage.archived_sha256() == sha256_of(EXPORT)


def test_a_copy_stopped_again_and_again_gets_there(stage: Stage) -> None:
    """One part an attempt."""
    key = stage.put_export(EXPORT)
    sent: list[int] = []
    for number in (2, 3, 4):
        stop_at_part(stage, number)
        with pytest.raises(Failure):
            attempt(stage, key, number - 1)
        sent += [part for part in sent_parts(stage) if part < number]
        stage.front.forget()
    attempt(stage, key, 4)
    assert sent + sent_parts(stage) == ALL_PARTS
    assert stage.archived_sha256() == sha256_of(EXPORT)
    assert stage.uploads() == []


def test_an_upload_that_vanished_in_between_begins_afresh(stage: Stage) -> None:
    """As a lifecycle rule takes it away."""
    key = stage.put_export(EXPORT)
    stopped_at_part(stage, key, 3)
    abort_all(stage)
    attempt(stage, key, 2)
    assert sent_parts(stage) == ALL_PARTS
    assert stage.archived_sha256() == sha256_of(EXPORT)


def test_an_upload_that_vanishes_in_mid_copy_begins_afresh(stage: Stage) -> None:
    """The store says 404 to a part; nothing is archived yet, so all of it is copied again."""
    key = stage.put_export(EXPORT)
    stage.front.spoil(Fault(lambda call: call.part_number == 3, before=lambda: abort_all(stage)))
    attempt(stage, key)
    assert sent_parts(stage) == [1, 2, 3, *ALL_PARTS]
    assert stage.archived_sha256() == sha256_of(EXPORT)
    assert stage.uploads() == []


def test_a_source_that_changed_in_between_is_copied_afresh(stage: Stage) -> None:
    """The old upload is aborted; no part of it gets into the new object."""
    key = stage.put_export(EXPORT, key=f"exports/{stage.job.job_id}.csv")
    stopped_at_part(stage, key, 3)
    (old,) = stage.uploads()
    changed = SyntheticExport(EXPORT.size_bytes, seed=24)
    stage.change_export(changed, key)
    attempt(stage, key, 2)
    assert sent_parts(stage) == ALL_PARTS
    assert stage.checkpoint is not None
    assert stage.checkpoint.upload_id != old
    assert stage.archived_sha256() == sha256_of(changed)
    assert stage.uploads() == []


def test_an_orphan_at_the_key_is_aborted(stage: Stage) -> None:
    """An attempt that died between creating an upload and writing it down; others' keys stay."""
    key = stage.put_export(EXPORT)
    stage.store.begin_upload(ObjectSpec(stage.key, "text/csv", None, {}))
    neighbour = stage.store.begin_upload(ObjectSpec(f"{stage.key}.bak", "text/csv", None, {}))
    attempt(stage, key, 2)
    assert stage.uploads() == [neighbour.upload_id]
    assert stage.archived_sha256() == sha256_of(EXPORT)


@pytest.mark.needs("upload metadata")
def test_a_commit_that_nobody_heard_of_is_found_by_the_next_attempt(stage: Stage) -> None:
    """The runtime died with the answer: the object is there, and not one part is sent."""
    key = stage.put_export(EXPORT)

    def cut_off() -> None:
        stage.front.spoil(Fault(lambda _: True, refuse_connection=True, times=1000))

    commit = stage.to_archive("POST", "uploadId")
    stage.front.spoil(Fault(commit, before=cut_off, lose_answer=True))
    with pytest.raises(Failure):
        attempt(stage, key)
    stage.front.forget()
    attempt(stage, key, 2)
    assert sent_parts(stage) == []
    assert stage.archived_sha256() == sha256_of(EXPORT)
    assert stage.uploads() == []


@pytest.mark.needs("other content")
def test_a_part_of_another_size_is_sent_again(stage: Stage) -> None:
    """What an attempt with another plan, or a broken store, left under this number is no part."""
    key = stage.put_export(EXPORT)
    stopped_at_part(stage, key, 3)
    (upload_id,) = stage.uploads()
    stage.people.upload_part(
        Bucket=stage.bucket,
        Key=stage.key,
        UploadId=upload_id,
        PartNumber=4,
        Body=b"too short",
        ChecksumAlgorithm="CRC64NVME",
    )
    attempt(stage, key, 2)
    assert sent_parts(stage) == [3, 4]
    assert stage.archived_sha256() == sha256_of(EXPORT)


def abort_all(stage: Stage) -> None:
    """Take every unfinished upload away."""
    for upload in stage.store.uploads_at(stage.key):
        stage.people.abort_multipart_upload(
            Bucket=stage.bucket, Key=stage.key, UploadId=upload.upload_id
        )
