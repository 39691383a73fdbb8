"""What is drawn: JSON, text and bytes that real senders never send, beside what they do send."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

from tests.fuzz.canaries import ACCESS_TOKEN, CALLBACK_TOKEN, CLIENT_SECRET, LINK_SIGNATURE

__all__ = [
    "CALLBACK_NAME",
    "CALLBACK_URL",
    "JOB_ID",
    "any_json",
    "any_text",
    "callback_members",
    "job_ids",
    "json_text",
    "mutated",
    "near_job_ids",
    "secret_text",
    "sqs_text",
]

JOB_ID = "ed49987b-6539-4e9e-8a63-2bcd811ef0ec"
CALLBACK_URL = f"https://hook.example/cb?token={CALLBACK_TOKEN}"
# As it is or with its underscore escaped, once or in JSON within JSON.
CALLBACK_NAME = re.compile(r"callback(?:_|\\+u005f)url", re.IGNORECASE)
_ODD_CHARACTERS = "\x00\x01\x1f\x7f\x85\xa0\u2028\u202e\ufeff\ufffe\ufffd\U0001f600\ud800\udfff"

any_character = st.characters(exclude_categories=()) | st.sampled_from(_ODD_CHARACTERS)
any_text = st.text(any_character, max_size=30)
# What SQS takes into a body (SendMessage).
sqs_text = st.text(
    st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="\ufffe\uffff"), max_size=60
)
_numbers = (
    st.integers()
    | st.floats()  # NaN and the infinities among them
    | st.sampled_from([10**400, -(10**4000), 1e308, -1.0, 0, 2**63, 2**64])
)
# Long, so that it tells limits from their absence, and built to hurt a careless expression.
_long_text = st.sampled_from(
    [
        "a." * 20_000,
        "\\" * 40_000,
        "x" * 70_000,
        "\u00e9 " * 30_000,
        'callback_url="' + "\\" * 20_000,
    ]
)
_leaf = st.none() | st.booleans() | _numbers | any_text
any_json: st.SearchStrategy[Any] = st.recursive(
    _leaf,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(any_text, inner, max_size=3),
    max_leaves=6,
)
secret_text = st.sampled_from(
    [
        f"token {ACCESS_TOKEN} is not right",
        f"no client with the secret '{CLIENT_SECRET}'",
        f"see https://b.s3.amazonaws.com/k?X-Amz-Signature={LINK_SIGNATURE}&x=1",
        f"X-Amz-Signature={LINK_SIGNATURE}",
        f'callback_url: "{CALLBACK_URL}"',
    ]
)
vendor_text = any_text | secret_text | _long_text
job_ids = st.one_of(
    st.just(JOB_ID), st.uuids().map(str), st.uuids().map(lambda value: str(value).upper())
)


def _near(job_id: str) -> st.SearchStrategy[str]:
    return st.sampled_from(
        [
            f" {job_id}\n",
            "\u3000" + job_id,
            job_id.replace("-", ""),
            "{" + job_id + "}",
            "urn:uuid:" + job_id,
            job_id + "\x00",
            job_id + "/../..",
            job_id[:-1] + "\N{FULLWIDTH DIGIT FOUR}",
            job_id[:-1] + "g",
            job_id.replace("-", "\u2010"),
            job_id[:-1],
            job_id + "0",
            "%2e%2e/" + job_id,
        ]
    )


near_job_ids = st.uuids().map(str).flatmap(_near)


@st.composite
def callback_members(draw: st.DrawFn) -> dict[str, Any]:
    """Draw the members of a JSON object that carry our callback token, however deep."""
    name = draw(st.sampled_from(["callback_url", "Callback_URL", "CALLBACK_URL"]))
    value = draw(
        st.sampled_from(
            [
                CALLBACK_URL,
                [CALLBACK_URL],
                {"url": f"https://a.example/ {CALLBACK_TOKEN}"},
                f'quoted \\" {CALLBACK_TOKEN}',
            ]
        )
    )
    member: dict[str, Any] = {name: value}
    for _ in range(draw(st.integers(0, 2))):
        member = draw(
            st.sampled_from(
                [
                    {"detail": member},
                    {"list": [1, member]},
                    {"Message": json.dumps(member)},
                    {"note": f"it was ordered with callback_url={CALLBACK_URL}"},
                    {f"callback_url={CALLBACK_URL}": True},
                ]
            )
        )
    return member


@st.composite
def json_text(draw: st.DrawFn, values: st.SearchStrategy[Any] = any_json) -> str:
    """Draw a JSON text as some writer might write it: escaped or not, spaced, with twins."""
    value = draw(values)
    text = json.dumps(
        value, ensure_ascii=draw(st.booleans()), indent=draw(st.sampled_from([None, 1]))
    )
    if isinstance(value, dict) and value and draw(st.integers(0, 9)) == 0:
        twin = json.dumps(draw(st.sampled_from(sorted(value))))
        text = "{" + twin + ":" + json.dumps(draw(_leaf)) + "," + text.lstrip()[1:]
    return text


def _escape_name(text: str) -> str:
    return text.replace("callback_url", "callback\\u005furl").replace("job_id", "job\\u005Fid")


def _nest(text: str, depth: int) -> str:
    return '{"a":' * depth + text + "}" * depth


_MUTATIONS: tuple[Callable[[str, int], str], ...] = (
    lambda text, at: text[:at],
    lambda text, at: text[at:],
    lambda text, at: text[:at] + text[at + 1 :],
    lambda text, at: text[:at] + "\\" + text[at:],
    lambda text, at: text[:at] + '"' + text[at:],
    lambda text, at: text[:at] + "," + text[at:],
    lambda text, at: text[:at] + "\u0000" + text[at:],
    lambda text, at: text[: at + 1] + text[at:],
    lambda text, at: text + text[:at],
    lambda text, _: _escape_name(text),
    lambda text, _: json.dumps(text),
    lambda text, _: text.replace('"', "'"),
    lambda text, _: _nest(text, 300),
    lambda text, _: _nest(text, 20_000),
    lambda text, _: "\ufeff" + text,
    lambda text, at: text[:at] + "9" * 5_000 + text[at:],
)


@st.composite
def mutated(draw: st.DrawFn, texts: st.SearchStrategy[str]) -> str:
    """Draw a text and spoil it: none, one or several times."""
    text = draw(texts)
    for _ in range(draw(st.sampled_from([0, 0, 1, 1, 2, 3]))):
        spoil = draw(st.sampled_from(_MUTATIONS))
        at = draw(st.integers(0, max(0, len(text) - 1)))
        text = spoil(text, _beside_name(text, at))[:200_000]
    return text


def _beside_name(text: str, at: int) -> int:
    """Move a place that lies in `callback_url` behind it: a spoilt name names nothing."""
    inside = (name for name in CALLBACK_NAME.finditer(text) if name.start() <= at < name.end())
    return next((name.end() for name in inside), at)
