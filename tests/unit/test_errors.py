"""Reasons are settled names, and what is shown to people holds no secret."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archiver.errors import Deferral, EndedAtVendor, Failure, Rejection, redact


def test_a_reason_that_is_not_settled_cannot_be_raised() -> None:
    """Alarms and filters are built on the reasons: a typing slip must not invent one."""
    for kind in (Deferral, EndedAtVendor, Failure, Rejection):
        with pytest.raises(ValueError, match="is not a reason"):
            kind("mislaid", "…")  # type: ignore[arg-type] # the slip that is meant


@given(st.text(), st.text(min_size=8))
def test_redacted_text_never_holds_a_known_secret(text: str, secret: str) -> None:
    """A vendor that echoes our secret back does not get it into a log."""
    assert secret not in redact(f"{text}{secret}{text}", secret) or secret in "[hidden]"


def test_redacted_text_holds_no_links_or_key_material() -> None:
    """Links go whole, long runs of key characters go, words and job ids stay."""
    job_id = "ed49987b-6539-4e9e-8a63-2bcd811ef0ec"
    text = f"Job {job_id}: see https://s3.amazonaws.com/b/k?X-Amz-Signature=abc {'k' * 40}"
    assert redact(text) == f"Job {job_id}: see [link] [hidden]"


def test_redacted_text_is_one_short_line() -> None:
    """Nobody's text can forge a second log line or fill the log."""
    assert redact("a\r\nb " + "word " * 500) == ("a b " + "word " * 500)[:200]


@pytest.mark.parametrize(
    "token", ["Qx3-Zk2WqPs9-hLx4VbN8r-JmC3yTgF6-dUe1KoRw0_t", "abcdef-" * 6, "a.b-c/d=" * 4]
)
def test_a_token_is_hidden_whole_though_hyphens_cut_it_into_short_pieces(token: str) -> None:
    """URL-safe base64, as OAuth servers make tokens, has hyphens anywhere."""
    assert redact(f"the token '{token}' is not right") == "the token '[hidden]' is not right"


def test_redacted_text_can_be_sent_by_sqs() -> None:
    """SQS refuses control characters and lone surrogates, and the letter would never arrive."""
    shown = redact("a\x00b\ud800c\x1bd\ufffee")
    assert shown.isprintable()
    assert [c for c in shown if c.isascii()] == list("abcde")


@pytest.mark.parametrize("piece", ["a.", "a-", "x:", "://", "a://", "\\", "9"])
@pytest.mark.timeout(10)
def test_redacting_a_text_of_a_mebibyte_takes_no_longer_than_reading_it(piece: str) -> None:
    """What an answer may hold at the most must not keep the function busy for its whole time."""
    assert len(redact(piece * (1 << 19))) <= 200
