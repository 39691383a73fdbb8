"""Links: good ones as S3's signers write them, and what somebody could make of one."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import strategies as st

from tests.fuzz.canaries import LINK_SIGNATURE

__all__ = ["good_links", "is_good_link", "links"]

_GOOD_HOSTS = [
    *("exports.s3.us-east-1.amazonaws.com", "s3.eu-west-1.amazonaws.com", "s3.amazonaws.com"),
    *("exports.s3.amazonaws.com", "exports.s3.dualstack.us-west-2.amazonaws.com"),
    *("a.b.c.s3-us-west-2.amazonaws.com", "s3-external-1.amazonaws.com"),
    *("exports.s3-fips.us-gov-west-1.amazonaws.com", "s3.cn-north-1.amazonaws.com.cn"),
    *("point-123456789012.s3-accesspoint.us-east-1.amazonaws.com", "granted.s3.amazonaws.com"),
    *("files.example.com", "a.trusted.example", "a.b.trusted.example:443", "odd.example:8443"),
]
_BAD_HOSTS = [
    *("evil.example", "s3.us-east-1.amazonaws.com.evil.example", "amazonaws.com"),
    *("evil-s3.us-east-1.amazonaws.com", "ec2-1-2-3-4.compute-1.amazonaws.com", "trusted.example"),
    *("eviltrusted.example", "files.example.com.evil.example", "xfiles.example.com"),
    *("files.example.com:8443", "odd.example", "s3.amazonaws.com:8443", "127.0.0.1", "[::1]"),
    *("s3.amazonaws.com.", ".s3.amazonaws.com", "s3..amazonaws.com", "s3.amazonaws.com:", "0x7f.1"),
    *(
        "user@s3.amazonaws.com",
        "s3.amazonaws.com@evil.example",
        "s3.amazonaws.com:443@evil.example",
    ),
    *("evil.example\\.s3.amazonaws.com", "evil.example%2f.s3.amazonaws.com", "169.254.169.254"),
    *("bucket.s3-website-us-east-1.amazonaws.com", "x.execute-api.us-east-1.amazonaws.com"),
    *(
        "s3.amazonaws\u3002com",
        "\u017f3.amazonaws.com",
        "s3.amazonaws.com:99999",
        "s3.amazonaws.com:0",
    ),
    *("s3.evil.amazonaws.com", "s3.us-east-1.amazonaws.com.cn.evil.example", "", "localhost"),
]
_paths = st.lists(
    st.sampled_from(
        [
            "exports",
            "job.csv",
            "a%2Fb",
            "%e2%82%ac",
            "..",
            ".",
            "",
            "a+b",
            "%zz",
            "%ff",
            "~",
            "k(1)",
        ]
    ),
    min_size=1,
    max_size=4,
).map(lambda segments: "/" + "/".join(segments))
_signed_headers = st.sampled_from(
    [
        *("host", "host", "host", "host%3Bx-amz-checksum-mode", "HOST", "host;x-amz-checksum-mode"),
        *("host%3Brange", "", "host%3B%0d%0aX-Evil%3A1"),
    ]
)


@st.composite
def _assembled(draw: st.DrawFn, names: list[str]) -> str:
    query = (
        "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIA%2F20261124%2Fus-east-1%2Fs3"
        "%2Faws4_request&X-Amz-Date=20261124T000000Z&X-Amz-Expires=604800"
        f"&X-Amz-SignedHeaders={draw(_signed_headers)}&X-Amz-Signature={LINK_SIGNATURE}"
    )
    version = draw(st.sampled_from(["", "", "&versionId=abc", "&VersionId=%00"]))
    return f"https://{draw(st.sampled_from(names))}{draw(_paths)}?{query}{version}"


_SPOILT = [
    "\r\n",
    "\n",
    "\t",
    " ",
    "\\",
    "@",
    "#",
    "?",
    "/",
    "//",
    "%",
    "%0a",
    ":",
    "&",
    ";",
    ".",
    "\0",
]
_SPOILT += [
    "\u212a",
    "\uff0f",
    "\xad",
    "\x7f",
    "\ud800",
    "http://",
    "https://evil.example/",
    "x" * 20_000,
]
_EDITS: tuple[Callable[[str, int, str], str], ...] = (
    lambda link, at, piece: link[:at] + piece + link[at:],
    lambda link, at, _: link[:at] + link[at + 1 :],
    lambda link, at, piece: link[:at] + piece + link[at + 1 :],
    lambda link, at, _: link[:at] + link[at:].upper(),
    lambda link, at, _: link[at:],
    lambda link, at, _: link[:at],
    lambda link, at, piece: link[:at] + link[at:].replace("&", piece),
    lambda link, at, _: (
        link.replace("https", "http", 1) if at % 2 else link.replace("https", "HTTPS", 1)
    ),
)


@st.composite
def _edited(draw: st.DrawFn) -> str:
    link = draw(_assembled(_GOOD_HOSTS + _BAD_HOSTS))
    for _ in range(draw(st.sampled_from([1, 1, 2, 4]))):
        # Near the authority, where an edit does most harm, as often as anywhere else.
        last = draw(st.sampled_from([60, 60, max(0, len(link) - 1)]))
        at = draw(st.integers(0, last))
        link = draw(st.sampled_from(_EDITS))(link, at, draw(st.sampled_from(_SPOILT)))[:40_000]
    return link


_plain = st.sampled_from(
    [
        f"https://exports.s3.us-east-1.amazonaws.com/job.csv?X-Amz-Signature={LINK_SIGNATURE}",
        f"https://s3.amazonaws.com/b/a%2Fb/../c?X-Amz-SignedHeaders=host&X-Amz-Signature={LINK_SIGNATURE}",
        f"https://odd.example:8443/x?X-Amz-Signature={LINK_SIGNATURE}",
    ]
)
good_links = _plain
links = st.one_of(
    _plain, _assembled(_GOOD_HOSTS), _assembled(_BAD_HOSTS), _edited(), _edited(), _edited()
) | st.text(st.characters(exclude_categories=()), max_size=40)


def is_good_link(location: str) -> bool:
    """Tell whether nobody could object to a link: a good host as drawn, and plain characters."""
    authority, slash, rest = location.removeprefix("https://").partition("/")
    plain = rest.isascii() and rest.isprintable() and not set(rest) & set(" \\#")
    whole = location.startswith("https://") and bool(slash) and len(location) < 16_000
    return whole and plain and authority in _GOOD_HOSTS
