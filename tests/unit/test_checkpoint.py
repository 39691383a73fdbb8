"""Which upload a copy goes on with, and whose uploads it may abort."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from archiver.errors import Deferral
from archiver.transfer.checkpoint import Uploads
from archiver.transfer.contract import Checkpoint, ObjectSpec
from archiver.transfer.plan import MIB
from tests.unit.fakes import FakeStore

SPEC = ObjectSpec("k", "text/csv", None, {"copy-method": "streaming"})


def uploads(store: FakeStore, save: Callable[[Checkpoint], None]) -> Uploads:
    """Return the uploads of a second attempt that knows of none."""
    return Uploads(store, "k", None, first_attempt=False, save=save)


def test_a_run_that_was_overtaken_aborts_no_upload_but_its_own() -> None:
    """The newer run's upload is untouched by one that may not write its own down."""
    store = FakeStore()
    newer = store.begin_upload(SPEC).upload_id

    def refuse(_: Checkpoint) -> None:
        raise Deferral("in_progress_elsewhere", "overtaken")

    with pytest.raises(Deferral):
        uploads(store, refuse).open(SPEC, 40 * MIB, "source", 16 * MIB)
    assert list(store.uploads) == [newer]


def test_what_earlier_attempts_left_is_aborted_once_ours_is_written_down() -> None:
    """A later attempt that begins anew leaves its own upload alone at the key."""
    store = FakeStore()
    store.begin_upload(SPEC)
    saved: list[Checkpoint] = []
    opened = uploads(store, saved.append).open(SPEC, 40 * MIB, "source", 16 * MIB)
    assert list(store.uploads) == [opened.upload.upload_id] == [saved[0].upload_id]
