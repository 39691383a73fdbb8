"""Which upload a copy goes on with, and whose uploads it may abort."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from archiver.claim import Checkpoint
from archiver.errors import Deferral
from archiver.receipt import bare_etag
from archiver.transfer.checkpoint import Uploads
from archiver.transfer.contract import ObjectSpec, Part
from archiver.transfer.plan import MIB
from tests.unit.fakes import FakeStore

SPEC = ObjectSpec("k", "text/csv", None, {"copy-method": "streaming"})


def uploads(store: FakeStore, save: Callable[[Checkpoint | None], None]) -> Uploads:
    """Return the uploads of a second attempt that knows of none."""
    return Uploads(store, "k", None, first_attempt=False, save=save)


def test_a_run_that_was_overtaken_aborts_no_upload_but_its_own() -> None:
    """The newer run's upload is untouched by one that may not write its own down."""
    store = FakeStore()
    newer = store.begin_upload(SPEC).upload_id

    def refuse(_: Checkpoint | None) -> None:
        raise Deferral("in_progress_elsewhere", "overtaken")

    with pytest.raises(Deferral):
        uploads(store, refuse).open(SPEC, 40 * MIB, "source", 16 * MIB)
    assert list(store.uploads) == [newer]


def test_what_earlier_attempts_left_is_aborted_once_ours_is_written_down() -> None:
    """A later attempt that begins anew leaves its own upload alone at the key."""
    store = FakeStore()
    store.begin_upload(SPEC)
    saved: list[Checkpoint | None] = []
    opened = uploads(store, saved.append).open(SPEC, 40 * MIB, "source", 16 * MIB)
    assert list(store.uploads) == [opened.upload.upload_id] == [saved[0] and saved[0].upload_id]


def test_a_dispute_is_one_of_the_same_bytes_of_the_same_source() -> None:
    """Only the same checksum of the same source twice in a row is a proof; attempts pass it on."""
    store, saved = FakeStore(), list[Checkpoint | None]()
    first = uploads(store, saved.append)
    assert not first.dispute('"e"', "A")
    assert not first.dispute('"e"', "B")
    first.open(SPEC, 40 * MIB, "e", 16 * MIB)
    later = Uploads(store, "k", saved[-1], first_attempt=False, save=saved.append)
    assert later.dispute('"e"', "B")
    changed = Uploads(store, "k", saved[-1], first_attempt=False, save=saved.append)
    changed.open(SPEC, 40 * MIB, "another", 16 * MIB)
    assert [begun and begun.disputed_checksum for begun in saved] == ["B", None, None]
    assert saved[1] is None, "the old one is forgotten before it is aborted"
    assert not changed.dispute('"another"', "B")


def test_a_part_that_cannot_be_named_or_compared_is_not_taken_over() -> None:
    """No ETag: it cannot be committed. No checksum: not where the whole's is to be compared."""
    store, saved = FakeStore(), list[Checkpoint | None]()
    begun = uploads(store, saved.append).open(SPEC, 40 * MIB, "e", 16 * MIB)
    held = store.uploads[begun.upload.upload_id]
    held[1] = Part(1, "", 16 * MIB, 7, None)
    held[2] = Part(2, "e2", 16 * MIB, None, None)
    held[3] = Part(3, "e3", 8 * MIB, 7, None)
    known = Uploads(store, "k", saved[-1], first_attempt=False, save=saved.append)
    assert set(known.open(SPEC, 40 * MIB, "e", 16 * MIB).finished) == {2, 3}
    compared = known.open(SPEC, 40 * MIB, "e", 16 * MIB, with_checksums=True)
    assert set(compared.finished) == {3}


@pytest.mark.parametrize("written", ['W/"x', "W/x", 'W/"x"'])
def test_an_upload_of_a_source_with_a_weak_etag_is_gone_on_with(written: str) -> None:
    """Earlier versions wrote half of its quotes down."""
    left = Checkpoint("id", 16 * MIB, written, 40 * MIB, "streaming")
    assert left.continues(bare_etag('W/"x"'), 40 * MIB, "streaming")
    assert not left.continues(bare_etag('"x"'), 40 * MIB, "streaming")
