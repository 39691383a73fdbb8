"""What people may put into the credentials secret."""

from __future__ import annotations

import json

from hypothesis import strategies as st

from tests.fuzz.canaries import CLIENT_SECRET, HAND_MADE_TOKEN
from tests.fuzz.values import any_json, any_text, json_text, mutated

__all__ = ["secrets"]

_ODD = [
    "{}",
    "{}\n",
    " {} ",
    "{}\r\nX-Evil: 1",
    "{}\u2028",
    "caf\u00e9{}",
    "\ud800{}",
    "{}\x00",
    "{}" * 50,
]


def _spoilt(canary: str) -> st.SearchStrategy[str]:
    return st.sampled_from([form.replace("{}", canary) for form in _ODD])


_fields = st.fixed_dictionaries(
    {},
    optional={
        "client_id": st.just("client") | any_text | any_json,
        "client_secret": st.just(CLIENT_SECRET) | _spoilt(CLIENT_SECRET) | any_json,
        "access_token": st.just("") | _spoilt(HAND_MADE_TOKEN) | any_json,
        "callback_url": any_text,
    },
)
_good = st.just(json.dumps({"client_id": "client", "client_secret": CLIENT_SECRET}))
secrets = st.one_of(
    _good, json_text(_fields), json_text(_fields), mutated(json_text(_fields)), any_text, st.none()
)
