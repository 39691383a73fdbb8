"""On every server, whatever it makes of `If-None-Match`: what lies at the key is not written over.

rclone ignores the condition, as Ceph does with some commits: the copy itself must look.
"""

from __future__ import annotations

import pytest

from archiver.errors import Rejection
from local.apartmentiq import SyntheticExport, sha256_of
from tests.s3.stage import MIB, Stage

both_commits = pytest.mark.parametrize("size_mib", [1, 20], ids=["put", "complete"])


@both_commits
def test_another_object_at_the_key_is_never_overwritten(stage: Stage, size_mib: int) -> None:
    """A person decides; the object is the same, and so is the list of keys."""
    stage.looks_first = True
    key = stage.put_export(SyntheticExport(size_mib * MIB, seed=size_mib))
    stage.people.put_object(Bucket=stage.bucket, Key=stage.key, Body=b"somebody's own")
    with pytest.raises(Rejection, match="object_conflict"):
        stage.copy(key)
    assert stage.content(stage.key) == b"somebody's own"
    assert stage.keys() == [stage.key]


@both_commits
def test_an_export_is_archived_after_a_look(stage: Stage, size_mib: int) -> None:
    """Each server says in its own way that nothing is there."""
    stage.looks_first = True
    export = SyntheticExport(size_mib * MIB, seed=size_mib)
    stage.copy(stage.put_export(export))
    assert stage.archived_sha256() == sha256_of(export)
