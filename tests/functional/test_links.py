"""Links: none is followed to an untrusted host, none is rewritten, and dead ones are renewed."""

from __future__ import annotations

import contextlib
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from archiver.apartmentiq.link import TrustedHosts, read_link
from archiver.errors import Failure, Rejection
from local.apartmentiq import BytesExport, Job, SyntheticExport, sha256_of
from tests.functional.company import Company, default_key

QUERY = "?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Signature=canary-link-query"
S3_ONLY = TrustedHosts()
MIB = 1 << 20
LARGE = SyntheticExport(16 * MIB + 12_345, seed=3)


# --- hosts ---


@dataclass
class Connections:
    """Where this process connected to, and which names it looked up, while it was watched."""

    watching: bool = False
    ports: set[int] = field(default_factory=set)
    hosts: set[str] = field(default_factory=set)

    def note(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Take an audit event of Python's socket module."""
        if not self.watching:
            return
        if event == "socket.connect":
            address = arguments[1]
            self.hosts.add(str(address[0]))
            self.ports.add(int(address[1]))
        elif event == "socket.getaddrinfo":
            self.hosts.add(str(arguments[0]))


@pytest.fixture(scope="module")
def audit() -> Connections:
    """Install the one audit hook: Python has no way to remove it, so that it can be blind."""
    connections = Connections()
    sys.addaudithook(connections.note)
    return connections


@pytest.fixture
def connections(audit: Connections) -> Iterator[Connections]:
    """Watch this process's connections during a test."""
    audit.ports, audit.hosts, audit.watching = set(), set(), True
    yield audit
    audit.watching = False


@pytest.fixture
def trap() -> Iterator[socket.socket]:
    """Listen on a port of this machine that no link may reach."""
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as listening:
        listening.settimeout(0)
        yield listening


def hostile_links(trusted: str, trap_port: int) -> dict[str, str]:
    """Return links that must not be followed, by what is wrong with them."""
    tail = f"/bucket/key{QUERY}"
    return {
        "plain HTTP": f"http://{trusted}{tail}",
        "other port": f"https://localhost:{trap_port}{tail}",
        "no port": f"https://localhost{tail}",
        "port zero": f"https://localhost:0{tail}",
        "empty port": f"https://localhost:{tail}",
        "user info": f"https://user:pw@{trusted}{tail}",
        "trusted name as user": f"https://{trusted}@localhost:{trap_port}{tail}",
        "S3 as user": f"https://s3.us-east-1.amazonaws.com@127.0.0.1:{trap_port}{tail}",
        "loopback address": f"https://127.0.0.1:{trap_port}{tail}",
        "decimal address": f"https://2130706433:{trap_port}{tail}",
        "hex address": f"https://0x7f000001:{trap_port}{tail}",
        "short address": f"https://127.1:{trap_port}{tail}",
        "IPv6": f"https://[::1]:{trap_port}{tail}",
        "metadata service": f"https://169.254.169.254/latest/meta-data/{QUERY}",
        "amazonaws.com below another": f"https://s3.us-east-1.amazonaws.com.evil.example{tail}",
        "rented below amazonaws.com": f"https://b.execute-api.us-east-1.amazonaws.com{tail}",
        "load balancer": f"https://s3.us-east-1.elb.amazonaws.com{tail}",
        "website endpoint": f"https://b.s3-website.us-east-1.amazonaws.com{tail}",
        "control endpoint": f"https://1.s3-control.us-east-1.amazonaws.com{tail}",
        "name that ends alike": f"https://evils3.us-east-1.amazonaws.com{tail}",
        "S3 at another port": f"https://b.s3.us-east-1.amazonaws.com:8443{tail}",
        "trailing dot": f"https://b.s3.us-east-1.amazonaws.com.{tail}",
        "fragment": f"https://{trusted}/bucket/key#@evil.example{QUERY}",
        "fragment after host": f"https://{trusted}#@localhost:{trap_port}{tail}",
        "backslash": f"https://localhost:{trap_port}\\@{trusted}{tail}",
        "backslash in path": f"https://{trusted}/..\\..{tail}",
        "no host": f"https:///bucket/key{QUERY}",
        "no scheme": f"//{trusted}{tail}",
        "no path": f"https://{trusted}{QUERY}",
        "relative": tail,
        "file": "file:///etc/passwd",
        "other scheme": f"ftp://{trusted}{tail}",
        "space": f"https://{trusted}/bucket/a key{QUERY}",
        "line break": f"https://{trusted}/bucket/key\r\n x: y{QUERY}",
        "tab": f"https://{trusted}/bucket/\tkey{QUERY}",
        "not ASCII": f"https://{trusted}/bucket/k\xe9y{QUERY}",
        "escaped host": f"https://local%68ost:{trap_port}{tail}",
        "underscore": f"https://local_host:{trap_port}{tail}",
        "too long": f"https://{trusted}/bucket/{'k' * 20_000}{QUERY}",
    }


def test_no_hostile_link_is_followed(
    company: Company, connections: Connections, trap: socket.socket
) -> None:
    """Rejected before a connection: nothing is looked up, nothing is sent."""
    connections.watching = False
    port = trap.getsockname()[1]
    links = hostile_links(company.vendor.trusted_link_host, port)
    jobs = {what: company.vendor.add_job(b"x") for what in links}
    company.archive(company.vendor.add_job(b"warm"))
    company.vendor.clear_journal()
    for what, link in links.items():
        company.vendor.answer_next(
            "results", status=302, headers={"Location": link}, job_id=jobs[what].job_id
        )
    connections.watching = True
    assert company.deliver_job(*jobs.values()) == []
    connections.watching = False

    letters = {letter["job_id"]: letter for letter in company.dead_letters()}
    reasons = {what: letters[job.job_id]["reason"] for what, job in jobs.items()}
    assert reasons == dict.fromkeys(links, "untrusted_link")
    for letter in letters.values():
        assert "/bucket/" not in letter["detail"], "the path is nobody's business"
    with pytest.raises(BlockingIOError):
        trap.accept()
    assert connections.hosts <= {"localhost", "127.0.0.1", "::1"}
    link_port = int(company.vendor.trusted_link_host.partition(":")[2])
    assert connections.ports.isdisjoint({port, link_port, 443, 8443, 80})
    assert company.asked("link") == 0
    assert company.asked("results") == len(links)


def test_an_untrusted_link_is_archived_once_its_host_is_trusted(company: Company) -> None:
    """The letter names host and parameter; after a deployment the redriven message goes through."""
    job = company.vendor.add_job(b"x")
    company.set_environment(TRUSTED_LINK_HOSTS="files.example.com")
    company.deliver_job(job)
    letter = company.dead_letter()
    assert letter["reason"] == "untrusted_link"
    assert "localhost" in letter["detail"]
    assert "TrustedLinkHosts" in letter["detail"]
    company.set_environment()
    assert company.deliver(letter["body"]) == []
    assert company.content(default_key(job)) == b"x"


@pytest.mark.parametrize(
    ("trusted", "host", "port", "expected"),
    [
        ("", "bucket.s3.us-east-1.amazonaws.com", 443, True),
        ("", "bucket.s3.us-east-1.amazonaws.com", 444, False),
        ("files.example.com", "files.example.com", 443, True),
        ("FILES.example.com", "files.example.com", 443, True),
        ("files.example.com", "a.files.example.com", 443, False),
        ("files.example.com", "files.example.com", 8443, False),
        ("files.example.com:8443", "files.example.com", 8443, True),
        ("files.example.com:8443", "files.example.com", 443, False),
        (".example.com", "files.example.com", 443, True),
        (".example.com", "a.b.example.com", 443, True),
        (".example.com", "example.com", 443, False),
        (".example.com", "evilexample.com", 443, False),
        (" a.example , .b.example:444 ", "x.b.example", 444, True),
        ("files.example.com", "s3.eu-west-1.amazonaws.com", 443, True),
    ],
)
def test_trusted_hosts_mean_what_the_parameter_says(
    trusted: str, host: str, port: int, *, expected: bool
) -> None:
    """A leading dot is a suffix, a bare name is exact, the port counts."""
    assert TrustedHosts.parse(trusted).trusts(host, port) is expected


@pytest.mark.parametrize(
    "entry", ["*", "*.example.com", "10.0.0.1", "a b", "h:0", "h:x", "a/b", "."]
)
def test_a_trusted_host_that_cannot_be_one_is_refused(entry: str) -> None:
    """A slip in the parameter must not trust more than was meant."""
    with pytest.raises(ValueError, match="is not a host"):
        TrustedHosts.parse(entry)


# --- forms of S3's links ---

FORMS = [
    ("my.dotted.bucket.s3.eu-central-1.amazonaws.com", "/k.csv", "my.dotted.bucket", "k.csv"),
    ("bucket.s3.us-east-1.amazonaws.com", "/a/b/k.csv", "bucket", "a/b/k.csv"),
    ("BUCKET.S3.us-east-1.amazonaws.com", "/k", "bucket", "k"),
    ("bucket.s3.us-gov-west-1.amazonaws.com", "/k", "bucket", "k"),
    ("bucket.s3.ap-southeast-4.amazonaws.com", "/k", "bucket", "k"),
    ("s3.us-east-1.amazonaws.com", "/bucket/a/k.csv", "bucket", "a/k.csv"),
    ("s3.amazonaws.com", "/bucket/k", "bucket", "k"),
    ("bucket.s3.amazonaws.com", "/k", "bucket", "k"),
    ("s3-eu-west-1.amazonaws.com", "/bucket/k", "bucket", "k"),
    ("bucket.s3-eu-west-1.amazonaws.com", "/k", "bucket", "k"),
    ("s3-external-1.amazonaws.com", "/bucket/k", "bucket", "k"),
    ("bucket.s3.dualstack.us-east-1.amazonaws.com", "/k", "bucket", "k"),
    ("s3.dualstack.us-east-1.amazonaws.com", "/bucket/k", "bucket", "k"),
    ("bucket.s3-fips.us-east-1.amazonaws.com", "/k", "bucket", "k"),
    ("bucket.s3-fips.dualstack.us-east-1.amazonaws.com", "/k", "bucket", "k"),
    ("bucket.s3.cn-north-1.amazonaws.com.cn", "/k", "bucket", "k"),
    ("exports-123456789012.s3-accesspoint.us-east-1.amazonaws.com", "/k", None, None),
    ("ap-1-123456789012.s3-accesspoint-fips.dualstack.us-east-1.amazonaws.com", "/k", None, None),
    ("bucket.s3.us-east-1.amazonaws.com:443", "/k", "bucket", "k"),
    ("bucket.s3.us-east-1.amazonaws.com", "/a%20b", "bucket", "a b"),
    ("bucket.s3.us-east-1.amazonaws.com", "/a+b", "bucket", "a+b"),
    ("bucket.s3.us-east-1.amazonaws.com", "/a%2Bb", "bucket", "a+b"),
    ("bucket.s3.us-east-1.amazonaws.com", "/a%2Fb", "bucket", "a/b"),
    ("bucket.s3.us-east-1.amazonaws.com", "/a%252Fb", "bucket", "a%2Fb"),
    ("bucket.s3.us-east-1.amazonaws.com", "/%C3%BCnits%E2%82%AC.csv", "bucket", "ünits€.csv"),
    ("bucket.s3.us-east-1.amazonaws.com", "/a/../b/./c", "bucket", "a/../b/./c"),
    ("bucket.s3.us-east-1.amazonaws.com", "//a//b/", "bucket", "/a//b/"),
    ("bucket.s3.us-east-1.amazonaws.com", "/a%0Ab", "bucket", "a\nb"),
    ("bucket.s3.us-east-1.amazonaws.com", "/report_type=units;x,y@z:(1)!*'~$&", "bucket",
     "report_type=units;x,y@z:(1)!*'~$&"),
    ("bucket.s3.us-east-1.amazonaws.com", "/%FF%FE", None, None),
    ("bucket.s3.us-east-1.amazonaws.com", "/", None, None),
    ("s3.us-east-1.amazonaws.com", "/bucket", None, None),
    ("s3.us-east-1.amazonaws.com", "/bucket//k", "bucket", "/k"),
]  # fmt: skip


@pytest.mark.parametrize(("authority", "path", "bucket", "key"), FORMS)
def test_every_form_of_s3_link_names_its_source_and_is_kept_as_signed(
    authority: str, path: str, bucket: str | None, key: str | None
) -> None:
    """Host and key are read for the server-side copy; what is sent is byte for byte the link's."""
    link = read_link(f"https://{authority}{path}{QUERY}", S3_ONLY)
    assert (link.bucket, link.key) == (bucket, key)
    assert link.target == path + QUERY
    assert (link.port, link.version_id) == (443, None)
    assert link.host == authority.lower().removesuffix(":443")
    assert "canary" not in repr(link)


@pytest.mark.parametrize("name", ["versionId", "versionid", "VersionId", "version%49d"])
def test_a_links_version_is_read(name: str) -> None:
    """A server-side copy must take the version that the link grants."""
    host = "bucket.s3.us-east-1.amazonaws.com"
    link = read_link(f"https://{host}/k?{name}=3%2FL4kq&X-Amz-Expires=9", S3_ONLY)
    assert link.version_id == "3/L4kq"


@pytest.mark.parametrize(
    ("signed", "headers"),
    [
        ("", {}),
        ("host", {}),
        ("host%3Bx-amz-checksum-mode", {"x-amz-checksum-mode": "ENABLED"}),
        ("Host;X-Amz-Checksum-Mode", {"x-amz-checksum-mode": "ENABLED"}),
    ],
)
def test_the_headers_that_a_signature_covers_are_known(
    signed: str, headers: dict[str, str]
) -> None:
    """What a link signs beside `host` must be sent, with the value that was signed."""
    url = f"https://s3.us-east-1.amazonaws.com/b/k?X-Amz-SignedHeaders={signed}"
    assert read_link(url, S3_ONLY).headers == headers


def test_a_signature_over_headers_that_we_cannot_know_is_a_failure() -> None:
    """Guessing would end in a 403 that explains nothing."""
    url = "https://s3.us-east-1.amazonaws.com/b/k?X-Amz-SignedHeaders=host%3Bx-amz-meta-a"
    with pytest.raises(Failure, match="x-amz-meta-a"):
        read_link(url, S3_ONLY)


def test_a_refusal_tells_no_more_than_the_host() -> None:
    """Path and query are secrets, also in an exception's text."""
    with pytest.raises(Rejection) as refused:
        read_link(f"https://evil.example/secret-path{QUERY}", S3_ONLY)
    assert "evil.example" in refused.value.detail
    assert "secret-path" not in str(refused.value)
    assert "canary" not in str(refused.value)


# --- keys, through the handler ---

KEYS = [
    "a key with spaces.csv",
    "plus+and%2Fescaped%20.csv",
    "ünits-€-日本.csv",
    "dots/../up/./here/..csv",
    "//double//slashes/",
    "semi;colon,comma@at:colon=equals&and(1)!*'~$.csv",
    "question?mark#hash.csv",
    'quote"back\\slash<angle>{brace}|`^.csv',
    "line\nbreak\ttab.csv",
    "-leading-dash/~tilde",
]


def test_every_legal_key_can_be_streamed(company: Company) -> None:
    """The stand-in checks the signature over the path: one rewritten byte would be a 403."""
    jobs = [
        company.vendor.add_job(key.encode(), key=f"{number}/{key}")
        for number, key in enumerate(KEYS)
    ]
    assert company.deliver_job(*jobs) == []
    expected = {default_key(job): key.encode() for job, key in zip(jobs, KEYS, strict=True)}
    assert company.objects() == expected
    assert company.asked("link") == company.asked("results") == len(KEYS)


def test_a_link_with_a_version_is_streamed_as_it_is(company: Company) -> None:
    """The version is part of what was signed."""
    company.vendor.link_query = {"versionId": "3/L4kq=", "response-content-type": "text/csv"}
    assert company.archive(company.vendor.add_job(b"x")) == b"x"


# --- renewal ---


def expire_after_first_range(company: Company, job: Job) -> None:
    """Let the link die between the first look and the parts."""
    company.vendor.link_valid_for_seconds = 60

    def age(job_id: str, _count: int) -> None:
        if job_id == job.job_id and not aged:
            aged.append(job_id)
            company.vendor.clock.advance(120)

    aged: list[str] = []
    company.vendor.on_link_bytes = age


def test_a_link_that_expires_in_mid_copy_is_asked_for_again(fresh_company: Company) -> None:
    """403 "Request has expired": a fresh link, once for all workers, and the same bytes."""
    company = fresh_company
    job = company.vendor.add_job(LARGE)
    expire_after_first_range(company, job)
    assert company.deliver_job(job) == []
    assert sha256_of(BytesExport(company.content(default_key(job)))) == sha256_of(LARGE)
    assert company.asked("results") == 2
    assert any(e.status == 403 for e in company.vendor.journal if e.route == "link")
    assert company.s3_actions().count("CreateMultipartUpload") == 1


def test_temporary_keys_that_expire_in_mid_copy_are_the_same_case(fresh_company: Company) -> None:
    """400 ExpiredToken: the credentials that signed the link died before the link did."""
    company = fresh_company
    job = company.vendor.add_job(LARGE)
    company.vendor.use_temporary_keys(60)
    expired: list[str] = []

    def expire(job_id: str, _count: int) -> None:
        if not expired:
            expired.append(job_id)
            company.vendor.clock.advance(61)
            company.vendor.use_temporary_keys(3600)

    company.vendor.on_link_bytes = expire
    assert company.deliver_job(job) == []
    assert sha256_of(BytesExport(company.content(default_key(job)))) == sha256_of(LARGE)
    assert any(e.status == 400 for e in company.vendor.journal if e.route == "link")
    assert company.asked("results") == 2


def test_a_small_exports_dead_link_is_asked_for_again(fresh_company: Company) -> None:
    """The link was cached somewhere at the vendor, and dead on arrival."""
    company = fresh_company
    job = company.vendor.add_job(b"x")
    dead = company.vendor.link_for(job)
    company.vendor.clock.advance(8 * 24 * 3600)
    company.vendor.answer_next("results", status=302, headers={"Location": dead})
    assert company.archive(job) == b"x"
    assert company.asked("results") == 2


def test_links_that_are_always_refused_end_in_a_failure(company: Company) -> None:
    """Four refusals are no expiry: redelivered, and nothing is left in the bucket."""
    job = company.vendor.add_job(LARGE)
    company.vendor.answer_next("link", status=403, times=None, job_id=job.job_id)
    assert len(company.deliver_job(job)) == 1
    assert company.outcomes() == [("failed", "vendor_error")]
    assert company.asked("results", job) == 4
    assert company.uploads() == []
    assert company.objects() == {}


def test_a_fresh_link_to_an_untrusted_host_is_not_followed_either(company: Company) -> None:
    """Renewal passes the same checks as the first link."""
    job = company.vendor.add_job(b"x")
    company.vendor.answer_next("link", status=403, job_id=job.job_id)
    good = company.vendor.link_for(job)
    for location in (good, "https://evil.example/bucket/key"):
        company.vendor.answer_next(
            "results", status=302, headers={"Location": location}, job_id=job.job_id
        )
    assert company.deliver_job(job) == []
    assert company.dead_letter()["reason"] == "untrusted_link"


def test_a_link_whose_signature_covers_the_checksum_mode_works(company: Company) -> None:
    """The header is sent as it was signed, and then the source tells its checksum too."""
    company.vendor.link_signed_headers = {"x-amz-checksum-mode": "ENABLED"}
    assert company.archive(company.vendor.add_job(b"x")) == b"x"
    job = company.vendor.add_job(LARGE)
    assert company.deliver_job(job) == []
    modes = {
        e.headers.get("x-amz-checksum-mode") for e in company.vendor.journal if e.route == "link"
    }
    assert modes == {"ENABLED"}


def test_no_header_of_ours_is_sent_to_the_links_host(company: Company) -> None:
    """A link authorises a GET with Range and If-Match; any other x-amz header would be refused."""
    company.archive(company.vendor.add_job(b"x"))
    company.deliver_job(company.vendor.add_job(LARGE))
    for entry in company.vendor.journal:
        if entry.route == "link":
            assert entry.method == "GET"
            assert not entry.authorized
            sent = set(entry.headers)
            assert sent <= {"host", "accept-encoding", "range", "if-match"}
            assert entry.headers["accept-encoding"] == "identity"
