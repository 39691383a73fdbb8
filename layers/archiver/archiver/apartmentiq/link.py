"""Reading a link, the pre-signed S3 URL that the results endpoint redirects to. Pure.

A link is a secret, and it comes from outside: it must never be shown with its query string, never
be followed to a host that is not trusted, and never be rewritten, because its signature covers the
path byte for byte. So it is parsed by hand here and not by urlsplit, which repairs what it reads.
Contract: tests/data/apartmentiq-results-openapi.yaml ("302"). Trusted hosts: docs/parameters.md.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import unquote

from archiver.errors import Failure, Rejection

__all__ = ["Link", "TrustedHosts", "read_link"]

_HTTPS_PORT = 443
_MAX_LINK_CHARACTERS = 16_384
_SCHEME = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*):(?P<rest>.*)", re.DOTALL)
# //authority/path?query, of what is printable in ASCII, without the backslash (browsers take it for
# a slash).
_PRINTABLE = re.compile(r"[!-\[\]-~]*")
_PARTS = re.compile(r"//(?P<authority>[^/?]*)(?P<path>/[^?]*)?(?:\?(?P<query>.*))?")
_AUTHORITY = re.compile(
    r"(?P<host>[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?)(?::(?P<port>[0-9]{1,5}))?"
)
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_REGION = r"[a-z]{2}(?:-[a-z]+)+-[0-9]"
_BUCKET = r"(?:(?P<bucket>[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])\.)?"
_VARIANT = r"(?:-fips)?(?:\.dualstack)?"
_ACCESS_POINT_NAME = r"[a-z0-9][a-z0-9-]{1,48}[a-z0-9]-[0-9]{12}"
# S3's own endpoints (AWS General Reference, "Amazon S3 endpoints and quotas"). Nothing else below
# amazonaws.com is trusted: anyone can rent a host there.
_S3_HOSTS = tuple(
    re.compile(shape)
    for shape in (
        rf"{_BUCKET}s3{_VARIANT}\.{_REGION}\.amazonaws\.com(?:\.cn)?",
        rf"{_BUCKET}s3(?:-{_REGION}|-external-1)?\.amazonaws\.com",
        rf"{_ACCESS_POINT_NAME}\.s3-accesspoint{_VARIANT}\.{_REGION}\.amazonaws\.com(?:\.cn)?",
    )
)
_ACCESS_POINT = re.compile(r".*\.s3-accesspoint(?:-fips)?\..*")
# What a link may demand to be sent along, with the only value that its signature can have covered.
_SIGNED_HEADER_VALUES = {"x-amz-checksum-mode": "ENABLED"}
_HEADER_NAME = re.compile(r"[a-z]{1,12}(?:-[a-z]{1,12}){0,4}")


@dataclass(frozen=True, slots=True)
class TrustedHosts:
    """The hosts, beside S3's own, that a link may point to: TrustedLinkHosts of the stack."""

    exact: frozenset[tuple[str, int]] = frozenset()
    suffixes: frozenset[tuple[str, int]] = frozenset()

    @classmethod
    def parse(cls, text: str) -> TrustedHosts:
        """Read a comma-separated list of hosts, as TrustedLinkHosts has it.

        A leading dot is a suffix, a bare name is exact, `:port` is optional (443). Raises
        ValueError that names the entry that cannot be read.
        """
        exact: set[tuple[str, int]] = set()
        suffixes: set[tuple[str, int]] = set()
        for entry in filter(None, (item.strip().lower() for item in text.split(","))):
            name, _, port_text = entry.partition(":")
            host = name.removeprefix(".")
            if not _is_host_name(host) or not _is_port(port_text or str(_HTTPS_PORT)):
                raise ValueError(
                    f"{entry!r} is not a host such as files.example.com or .example.com"
                )
            port = int(port_text or _HTTPS_PORT)
            (suffixes if name.startswith(".") else exact).add((host, port))
        return cls(frozenset(exact), frozenset(suffixes))

    def trusts(self, host: str, port: int) -> bool:
        """Tell whether a link to this host and port may be followed."""
        if (host, port) in self.exact:
            return True
        if any(host.endswith("." + suffix) and port == p for suffix, p in self.suffixes):
            return True
        return port == _HTTPS_PORT and _match_s3_host(host) is not None


@dataclass(frozen=True, slots=True)
class Link:
    """A link that has passed every check. Its `target` (path and query, as signed) is a secret.

    `bucket` and `key` name the source for a server-side copy; None where the host does not tell
    them (an access point).
    """

    host: str
    port: int
    target: str = field(repr=False)
    bucket: str | None
    key: str | None = field(repr=False)  # of a link without a "?", it would hold the query too
    version_id: str | None
    headers: dict[str, str] = field(default_factory=dict, repr=False)


def read_link(location: str, trusted: TrustedHosts) -> Link:
    """Take a Location apart; raises Rejection("untrusted_link") for whatever we would not follow.

    The refusal names the host at most, never the path or the query.
    """
    if len(location) > _MAX_LINK_CHARACTERS:
        raise _refuse("it is longer than 16,384 characters")
    scheme = _SCHEME.fullmatch(location)
    if scheme is None:
        raise _refuse("it is not an absolute URL")
    if scheme["scheme"].lower() != "https":
        raise _refuse("it is not https")
    if not _PRINTABLE.fullmatch(scheme["rest"]):
        raise _refuse("it has characters in it that no link has: only printable ASCII may stand")
    if "#" in scheme["rest"]:
        raise _refuse("it has a fragment")
    match = _PARTS.fullmatch(scheme["rest"])
    if match is None:
        raise _refuse("it names no host")
    host, port = _read_authority(match["authority"])
    if not trusted.trusts(host, port):
        raise _refuse(
            f"its host {host} (port {port}) is neither S3's nor in TrustedLinkHosts; if it is "
            "right, add it to that parameter, deploy, and redrive this message"
        )
    if match["path"] is None:
        raise _refuse("it has no path, so it names no export")
    query = _read_query(match["query"] or "")
    bucket, key = _name_source(host, match["path"])
    target = match["path"] + ("" if match["query"] is None else "?" + match["query"])
    return Link(
        host=host,
        port=port,
        target=target,
        bucket=bucket,
        key=key,
        version_id=query.get("versionid"),
        headers=_signed_headers(query.get("x-amz-signedheaders", "host")),
    )


def _read_authority(authority: str) -> tuple[str, int]:
    if "@" in authority:
        raise _refuse("it carries user information before the host")
    if not authority:
        raise _refuse("it names no host")
    match = _AUTHORITY.fullmatch(authority)
    if match is None or not _is_host_name(match["host"].lower()):
        raise _refuse("its host is not a plain DNS name")
    port_text = match["port"] or str(_HTTPS_PORT)
    if not _is_port(port_text):
        raise _refuse("its port is not a port number")
    return match["host"].lower(), int(port_text)


def _read_query(query: str) -> dict[str, str]:
    """Return the query's parameters by lower-case name; AWS's signers differ in their case."""
    pairs = (item.partition("=") for item in query.split("&") if item)
    return {unquote(name).lower(): unquote(value) for name, _, value in pairs}


def _name_source(host: str, path: str) -> tuple[str | None, str | None]:
    match = _match_s3_host(host)
    if match is not None and _ACCESS_POINT.fullmatch(host):
        return None, None
    plain = path[1:]
    bucket = match["bucket"] if match is not None else None
    if bucket is None:  # path style; hosts that are not S3's own are taken to use it
        bucket, _, plain = plain.partition("/")
        bucket = unquote(bucket)
    try:
        key = unquote(plain, errors="strict")
    except UnicodeDecodeError:
        return None, None  # S3's keys are UTF-8: this cannot be named, but it can be streamed
    return (bucket, key) if bucket and key else (None, None)


def _signed_headers(names: str) -> dict[str, str]:
    headers: dict[str, str] = {}
    for name in names.lower().split(";"):
        if name in {"host", ""}:
            continue
        if name not in _SIGNED_HEADER_VALUES:
            # A piece of a spoilt query could stand here: only what is surely a name is shown.
            shown = name if _HEADER_NAME.fullmatch(name) else "one that is no plain name"
            raise Failure(
                "vendor_error", f"The link demands a header that we cannot know: {shown}."
            )
        headers[name] = _SIGNED_HEADER_VALUES[name]
    return headers


def _match_s3_host(host: str) -> re.Match[str] | None:
    return next((match for shape in _S3_HOSTS if (match := shape.fullmatch(host))), None)


def _is_host_name(host: str) -> bool:
    """Tell whether this is a DNS name: no address, in any spelling."""
    labels = host.split(".")
    return (
        len(host) <= 253
        and all(_LABEL.fullmatch(label) for label in labels)
        and not re.fullmatch(r"[0-9]+|0x[0-9a-f]*", labels[-1])
    )


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and 0 < int(text) <= 65_535


def _refuse(why: str) -> Rejection:
    return Rejection("untrusted_link", f"The link was not followed: {why}.")
