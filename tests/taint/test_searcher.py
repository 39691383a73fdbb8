"""The searcher finds what is planted, in every encoding, and nothing where there is nothing."""

from __future__ import annotations

import json
import random
import secrets
import uuid

import pytest

from tests.taint.encodings import ENCODINGS
from tests.taint.searcher import Searcher

PLAIN = "planted-" + "kJ3vQ8xZr5Tn0bYw2LsDf7Hc"  # without the word that the searcher knows
NAMELESS = {"second half", "base64 of a half"}
AWKWARD = 'p1"nt/ed+\\&= %é' + "kJ3vQ8xZr5Tn0bYw2LsDf7Hc"


def searcher_of(*known: str) -> Searcher:
    """Return a searcher that knows secrets."""
    searcher = Searcher()
    searcher.add((f"secret {number}", secret) for number, secret in enumerate(known))
    return searcher


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("secret", [PLAIN, AWKWARD], ids=["plain", "awkward"])
def test_a_planted_secret_is_found_in_every_encoding(secret: str, encoding: str) -> None:
    """In the midst of other text, its place said and the secret itself not."""
    text = f'{{"level": "INFO", "id": "{uuid.uuid4()}"}} {ENCODINGS[encoding](secret)} and on\n'
    found = searcher_of(secret).find("the log", text)
    assert found
    assert {finding.what for finding in found} == {"secret 0"}
    assert all(str(finding).startswith("the log: secret 0") for finding in found)
    assert not any(secret[:8] in str(finding) for finding in found)


@pytest.mark.parametrize("encoding", sorted(ENCODINGS.keys() - NAMELESS))
def test_a_canary_that_nobody_made_known_is_found_by_its_name(encoding: str) -> None:
    """Tests make secrets up as they go along; only a half without the name needs to be known."""
    encoded = ENCODINGS[encoding]("canary-token-kJ3vQ8xZr5Tn0bYw")
    found = Searcher().find("here", f"x {encoded} y")
    assert {finding.what for finding in found} == {"a canary"}


@pytest.mark.parametrize(
    "text",
    ["GET /k?X-Amz-Signature=ab", "x-amz-security-token%3Dab", '{"Authorization": "Bearer a'],
)
def test_what_stands_beside_a_secret_is_enough(text: str) -> None:
    """A link's signing parameters and a bearer token's scheme have no business anywhere."""
    assert Searcher().find("here", text)


def test_a_link_signature_is_found_though_it_is_only_hex_digits() -> None:
    """Half of one, too; another hash is not taken for it."""
    signature = secrets.token_hex(32)
    searcher = searcher_of(signature)
    assert searcher.find("here", f"etag {signature[:32]}")
    assert searcher.find("here", f"etag {signature[32:]}")
    assert not searcher.find("here", f"etag {secrets.token_hex(32)}")


def test_nothing_is_found_in_much_innocent_text() -> None:
    """Ids, hashes, base64 and URLs of our own are no findings, however many secrets are known."""
    chance = random.Random(6)  # noqa: S311 - the same text each time
    searcher = searcher_of(*(f"{chance.getrandbits(256):064x}" for _ in range(500)))
    lines = [
        json.dumps(
            {
                "job_id": str(uuid.UUID(int=chance.getrandbits(128))),
                "etag": f"{chance.getrandbits(128):032x}",
                "checksum": "kJ3vQ8xZr5T=",
                "client": f"canary-client-id-{chance.getrandbits(64):016x}",
                "url": "https://bucket.s3.us-east-1.amazonaws.com/report_type%3Dunits",
            }
        )
        for _ in range(500)
    ]
    assert searcher.find("the log", "\n".join(lines)) == []


def test_what_was_searched_is_counted() -> None:
    """A hunt over nothing can be told from one that found nothing."""
    searcher = searcher_of(PLAIN)
    assert searcher.search({"a": "12345", "b": "678"}) == []
    counts = (searcher.searched_texts, searcher.searched_characters, searcher.known_secrets)
    assert counts == (2, 8, 1)


def test_a_secret_that_is_too_short_is_not_taken() -> None:
    """It would be found everywhere, or nowhere."""
    with pytest.raises(ValueError, match="too short"):
        searcher_of("short")
