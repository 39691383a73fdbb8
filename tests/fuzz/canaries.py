"""The secrets of a fuzzed run, made up, and the search for them in whatever we let out.

They look like the real ones: token and client secret are URL-safe base64 as OAuth servers make
them (with hyphens, so that no run between two is long), a signature is hexadecimal.
"""

from __future__ import annotations

from collections.abc import Iterable

__all__ = [
    "ACCESS_TOKEN",
    "CALLBACK_TOKEN",
    "CANARIES",
    "CLIENT_SECRET",
    "HAND_MADE_TOKEN",
    "LINK_SIGNATURE",
    "leaks",
]

CLIENT_SECRET = "cS3-vQ9xLwT2-mKp7RzY4u-BnH6tGjW1-eXa8DfUq5_c"
ACCESS_TOKEN = "aT7-Zk2WqPs9-hLx4VbN8r-JmC3yTgF6-dUe1KoRw0_t"
HAND_MADE_TOKEN = "hM5-Gd8YcJv3-pXt6QnB1s-WfL9zRkA4-uHe7TmKi2_m"
CALLBACK_TOKEN = "cB1-Nf6KzTr8-wGy3HjV5p-QxD2mSbE9-aLo4CtPu7_b"
LINK_SIGNATURE = "5f3ac9e1d7b80264fe19a3c5b7d90e2468ac13579bdf02468ace97531fdb8642"
CANARIES = {
    "client secret": CLIENT_SECRET,
    "access token": ACCESS_TOKEN,
    "access token made by hand": HAND_MADE_TOKEN,
    "callback token": CALLBACK_TOKEN,
    "link signature": LINK_SIGNATURE,
}
# So many characters of a secret in a row are a leak: less is met by chance or is of no use.
_WINDOW = 12
_WINDOWS = {
    canary[start : start + _WINDOW].lower(): name
    for name, canary in CANARIES.items()
    for start in range(len(canary) - _WINDOW + 1)
}


def leaks(texts: Iterable[str]) -> set[str]:
    """Return the names of the secrets of which a piece is in one of these texts, in any case."""
    joined = "\n".join(texts).lower()
    return {name for window, name in _WINDOWS.items() if window in joined}
