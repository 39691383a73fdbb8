"""One conditional request makes an object visible; nothing that exists is ever overwritten."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest

from archiver.errors import Failure, Rejection
from local.apartmentiq import SyntheticExport, sha256_of
from tests.s3.front import Call, Fault
from tests.s3.stage import MIB, Stage

SMALL = SyntheticExport(1 * MIB, seed=1)
PATIENCE_SECONDS = 30.0
LARGE = SyntheticExport(20 * MIB, seed=20)
pytestmark = pytest.mark.needs("conditions", "checksums", "upload metadata")
both_commits = pytest.mark.parametrize("export", [SMALL, LARGE], ids=["put", "complete"])


def commits(stage: Stage, export: SyntheticExport) -> Callable[[Call], bool]:
    """Match the request that makes an export of this size visible."""
    if export is SMALL:
        return stage.to_archive("PUT")
    return stage.to_archive("POST", "uploadId")


@both_commits
def test_another_object_at_the_key_is_never_overwritten(
    stage: Stage, export: SyntheticExport
) -> None:
    """The server itself refuses (412), a person decides, and no upload is left."""
    key = stage.put_export(export)
    stage.people.put_object(Bucket=stage.bucket, Key=stage.key, Body=b"somebody's own")
    with pytest.raises(Rejection, match="object_conflict"):
        stage.copy(key)
    assert 412 in [call.status for call in stage.front.calls]
    assert stage.content(stage.key) == b"somebody's own"
    assert stage.uploads() == []


@both_commits
def test_the_look_before_the_commit_finds_what_the_server_would_refuse(
    stage: Stage, export: SyntheticExport
) -> None:
    """As at any store but AWS's: a person decides just so, and no commit is sent."""
    stage.looks_first = True
    key = stage.put_export(export)
    stage.people.put_object(Bucket=stage.bucket, Key=stage.key, Body=b"somebody's own")
    with pytest.raises(Rejection, match="object_conflict"):
        stage.copy(key)
    assert 412 not in [call.status for call in stage.front.calls]
    assert stage.content(stage.key) == b"somebody's own"
    assert stage.uploads() == []


@both_commits
def test_our_own_earlier_object_is_recognised(stage: Stage, export: SyntheticExport) -> None:
    """The commit of an attempt that died is found, by 412 or by looking first, and kept."""
    key = stage.put_export(export)
    first = stage.copy(key)
    before = stage.people.head_object(Bucket=stage.bucket, Key=stage.key)["LastModified"]
    again = stage.copy(key)
    stage.front.forget()
    resumed = stage.copy(key, attempt=2)
    assert {again.etag, resumed.etag} == {first.etag}
    assert stage.people.head_object(Bucket=stage.bucket, Key=stage.key)["LastModified"] == before
    assert stage.part_calls() == [], "a later attempt looks before it copies"
    assert stage.uploads() == []


@both_commits
def test_a_commit_whose_answer_was_lost_is_looked_up(stage: Stage, export: SyntheticExport) -> None:
    """It took effect and nobody was told: the object is recognised, not copied again."""
    key = stage.put_export(export)
    stage.front.spoil(Fault(commits(stage, export), lose_answer=True))
    stage.copy(key)
    assert stage.archived_sha256() == sha256_of(export)
    assert stage.keys() == [stage.key]
    assert stage.uploads() == []


@both_commits
def test_a_commit_that_never_reached_the_store_is_asked_again(
    stage: Stage, export: SyntheticExport
) -> None:
    """Cut off before the store heard of it."""
    key = stage.put_export(export)
    stage.front.spoil(Fault(commits(stage, export), refuse_connection=True))
    stage.copy(key)
    assert stage.archived_sha256() == sha256_of(export)
    assert stage.uploads() == []


@both_commits
def test_two_at_once_make_one_object(stage: Stage, export: SyntheticExport) -> None:
    """A duplicate, or a zombie after a time-out: one of them commits, the other recognises it."""
    key = stage.put_export(export)
    is_commit = commits(stage, export)
    stage.front.spoil(Fault(is_commit))
    stage.front.spoil(Fault(is_commit, before=lambda: wait_for(stage, is_commit)))
    with ThreadPoolExecutor(2) as pool:
        stored = [future.result() for future in [pool.submit(stage.copy, key) for _ in range(2)]]
    assert len({(each.etag, each.size_bytes) for each in stored}) == 1
    assert stage.archived_sha256() == sha256_of(export)
    assert stage.keys() == [stage.key]
    assert stage.uploads() == []
    assert [call.status for call in stage.front.calls if is_commit(call)] == [200, 412]


def wait_for(stage: Stage, is_commit: Callable[[Call], bool]) -> None:
    """Wait until a commit is done: LocalStack looks and then writes, and two might pass at once."""
    deadline, pause = time.monotonic() + PATIENCE_SECONDS, Event()
    while not any(is_commit(call) for call in stage.front.calls):
        assert time.monotonic() < deadline
        pause.wait(0.01)


def test_a_damaged_put_is_refused(stage: Stage) -> None:
    """The checksum in the header is checked before the object exists."""
    key = stage.put_export(SMALL)
    stage.front.spoil(Fault(stage.to_archive("PUT"), flip_a_byte=True, times=9))
    with pytest.raises(Failure, match="Writing the object"):
        stage.copy(key)
    assert stage.keys() == []
    stage.front.forget()
    stage.copy(key)
    assert stage.archived_sha256() == sha256_of(SMALL)


@both_commits
def test_what_is_written_beside_the_bytes_is_read_back(
    stage: Stage, export: SyntheticExport
) -> None:
    """Type and metadata; a retry recognises its object by them."""
    stored = stage.copy(stage.put_export(export))
    head = stage.people.head_object(Bucket=stage.bucket, Key=stage.key)
    assert head["ContentType"] == "text/csv"
    assert head["Metadata"]["job-id"] == stage.job.job_id
    assert head["Metadata"]["source-etag"] == stored.source_etag
