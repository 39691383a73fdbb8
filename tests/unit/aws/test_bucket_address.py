"""Parts go where the client's own calls go: every region, every way of naming S3, every redirect.

The oracle is another call of the same client (ListParts), caught before it is sent.
"""

from __future__ import annotations

import http.client
import re
import ssl
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, partial
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import pytest
from boto3.session import Session
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from botocore.config import Config
from botocore.exceptions import BotoCoreError, EndpointVariantError

from archiver.aws.bucket_address import BucketAddress
from archiver.aws.object_store import ObjectStore
from archiver.aws.sending import send_by
from archiver.errors import Failure, Transient
from archiver.network.deadline import TimeIsUp
from archiver.network.https import Network
from archiver.transfer.contract import ObjectSpec, Part, Upload
from archiver.wiring.archiving import _S3_CONFIG

UPLOAD = Upload("report/a b.csv", "id")
VARIANTS: dict[str, dict[str, bool]] = {
    "plain": {},
    "dualstack": {"use_dualstack_endpoint": True},
    "FIPS": {"use_fips_endpoint": True},
    "FIPS, dualstack": {"use_fips_endpoint": True, "use_dualstack_endpoint": True},
}
BUCKETS = ("exports-archive", "exports.archive")
SCOPE = re.compile(r"Credential=[^/]+/\d{8}/([^/]+)/s3/aws4_request")

Place = tuple[str, str, str]  # host, path, region


@cache
def session() -> Session:
    """Return the one session: service models are read once."""
    return Session("AKIDEXAMPLE", "secret")


def all_regions() -> list[str]:
    """Return every region of every partition that botocore knows an S3 in."""
    known = session()
    partitions = known.get_available_partitions()
    return [one for name in partitions for one in known.get_available_regions("s3", name)]


def some_regions() -> list[str]:
    """Return the first and the last region of every partition, and us-east-1."""
    known = session()
    of_each = [known.get_available_regions("s3", name) for name in known.get_available_partitions()]
    return sorted({"us-east-1", *(one for names in of_each for one in (*names[:1], *names[-1:]))})


def client_of(region: str, **options: Any) -> Any:  # noqa: ANN401 - boto3's
    """Return a client as wiring/ configures it."""
    # botocore writes into the dictionary that it is given
    config = _S3_CONFIG.merge(Config(s3={"payload_signing_enabled": False}, **options))
    return session().client("s3", region_name=region, config=config)


@dataclass
class Wire:
    """S3 as a part's connection meets it: what was sent to whom, and what is answered in turn."""

    answers: list[tuple[int, dict[str, str], bytes]] = field(default_factory=list)
    places: list[Place] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)

    def connect(self, host: str, port: int, *, tls: bool = True) -> Any:  # noqa: ANN401 - a Connection
        """Return a connection; TLS on its own port is all that AWS is asked for."""
        assert (port, tls) == (443, True)
        return SimpleNamespace(
            begin=partial(self._begin, host),
            send=self._send,
            answer=self._answer,
            interrupt=lambda: None,
            close=lambda: None,
        )

    def _begin(self, host: str, method: str, target: str, headers: Mapping[str, str]) -> None:
        assert (method, headers["Host"]) == ("PUT", host)
        assert "host;" in headers["Authorization"]
        scope = SCOPE.search(headers["Authorization"])
        assert scope is not None
        self.places.append((host, target.partition("?")[0], scope[1]))
        self.bodies.append(b"")

    def _send(self, data: bytes) -> None:
        self.bodies[-1] += bytes(data)

    def _answer(self) -> Any:  # noqa: ANN401 - an HTTPResponse
        status, told, body = self.answers.pop(0) if self.answers else (200, {"ETag": '"e"'}, b"")
        headers = http.client.HTTPMessage()
        for name, value in told.items():
            headers[name] = value
        read = iter([body])
        return SimpleNamespace(
            status=status, headers=headers, read=lambda _: next(read), isclosed=lambda: True
        )


def store_of(client: Any, bucket: str, wire: Wire) -> ObjectStore:  # noqa: ANN401 - boto3's
    """Return the archive bucket as wiring/ composes it, its parts on this wire."""
    return ObjectStore(
        client=client,
        credentials=session().get_credentials(),  # type: ignore[arg-type] # there are some
        bucket=bucket,
        kms_key_arn=None,
        connect=wire.connect,
    )


def send(store: ObjectStore) -> Part:
    """Send a part of two bytes."""
    return store.part_writer().send_streaming(UPLOAD, 1, 2, two_bytes)


def buffer() -> memoryview:
    """Return what holds a part of two bytes."""
    return memoryview(bytearray(2))


def two_bytes() -> Iterator[memoryview]:
    """Read the part from its source."""
    yield memoryview(b"ab")


def own_call(client: Any, bucket: str) -> Place:  # noqa: ANN401 - boto3's
    """Return where a call of the client's own goes: caught before it is sent."""
    caught: list[Any] = []

    def catch(request: Any, **_: object) -> AWSResponse:  # noqa: ANN401 - botocore's
        caught.append(request)
        raw = SimpleNamespace(stream=lambda: [b"<ListPartsResult/>"])
        return AWSResponse(request.url, 200, HTTPHeaders(), raw)

    client.meta.events.register("before-send.s3.ListParts", catch, unique_id="caught")
    try:
        client.list_parts(Bucket=bucket, Key=UPLOAD.key, UploadId=UPLOAD.upload_id)
    finally:
        client.meta.events.unregister("before-send.s3.ListParts", unique_id="caught")
    (request,) = caught
    url = urlsplit(request.url)
    scope = SCOPE.search(request.headers["Authorization"].decode())
    assert scope is not None
    return str(url.hostname), url.path, scope[1]


def place_of_part(store: ObjectStore, wire: Wire) -> Place:
    """Return where a part goes."""
    send(store)
    return wire.places[-1]


def outcome(act: Callable[[], Place]) -> Place | type[BaseException]:
    """Return a place, or what botocore raises where there is none."""
    try:
        return act()
    except BotoCoreError as error:
        return type(error)


@pytest.mark.parametrize("variant", VARIANTS)
def test_parts_go_where_the_clients_own_calls_go(variant: str) -> None:
    """In every region botocore's own host, path and region, or the error that botocore raises.

    With an option, in some of each partition: beyond partitions, the rules know us-east-1 alone
    (botocore/data/s3/2006-03-01/endpoint-rule-set-1.json, what `Region` is compared with).
    """
    regions = all_regions() if variant == "plain" else some_regions()
    assert len(regions) > (40 if variant == "plain" else 8)
    different: list[tuple[str, str]] = []
    for region in regions:
        try:
            client = client_of(region, **VARIANTS[variant])
        except EndpointVariantError:  # there is no such client in that partition, and so no store
            continue
        for bucket in BUCKETS:
            wire = Wire()

            store = store_of(client, bucket, wire)
            if outcome(partial(place_of_part, store, wire)) != outcome(
                partial(own_call, client, bucket)
            ):
                different.append((region, bucket))
    assert different == []


@pytest.mark.parametrize(
    ("region", "variant", "bucket", "host", "folder"),
    [
        ("us-east-2", "plain", BUCKETS[0], "exports-archive.s3.us-east-2.amazonaws.com", ""),
        ("me-south-1", "plain", BUCKETS[1], "s3.me-south-1.amazonaws.com", "/exports.archive"),
        ("us-east-2", "FIPS", BUCKETS[0], "exports-archive.s3-fips.us-east-2.amazonaws.com", ""),
        (
            "eu-west-1",
            "dualstack",
            BUCKETS[1],
            "s3.dualstack.eu-west-1.amazonaws.com",
            "/exports.archive",
        ),
        ("cn-north-1", "plain", BUCKETS[0], "exports-archive.s3.cn-north-1.amazonaws.com.cn", ""),
    ],
)
def test_hosts_are_those_that_aws_documents(
    region: str, variant: str, bucket: str, host: str, folder: str
) -> None:
    """AWS General Reference, "Amazon S3 endpoints and quotas": so that the oracle has one, too."""
    wire = Wire()
    send(store_of(client_of(region, **VARIANTS[variant]), bucket, wire))
    assert wire.places == [(host, f"{folder}/report/a%20b.csv", region)]


def test_asking_costs_nothing_for_each_part() -> None:
    """Workers and parts share what was asked once; only a new upload asks again."""
    client = client_of("eu-west-1")
    asked: list[str] = []
    client.meta.events.register("before-send.s3.UploadPart", lambda **_: asked.append("part"))
    store = store_of(client, BUCKETS[0], Wire())
    for _ in range(8):
        send(store)
    assert asked == ["part"]


NAMED = {"x-amz-bucket-region": "eu-central-1"}
THERE = ("exports-archive.s3.eu-central-1.amazonaws.com", "/report/a%20b.csv", "eu-central-1")
HERE = ("exports-archive.s3.us-east-2.amazonaws.com", "/report/a%20b.csv", "us-east-2")


def error(code: str, more: str = "") -> bytes:
    """Return an error as S3 writes it."""
    endpoint = "<Endpoint>evil.example</Endpoint>"
    return f"<Error><Code>{code}</Code>{endpoint}{more}</Error>".encode()


REGION = "<Region>eu-central-1</Region>"
LEAVING = {
    "307, header": (307, NAMED | {"Location": "https://evil.example/"}, error("TemporaryRedirect")),
    "301, header": (301, NAMED, error("PermanentRedirect")),
    "301, header, no body": (301, NAMED, b""),
    "308, body": (308, {}, error("PermanentRedirect", REGION)),
    "307, body": (307, {}, error("TemporaryRedirect", REGION)),
    "signed for another": (400, {}, error("AuthorizationHeaderMalformed", REGION)),
    "opt-in region": (400, NAMED, error("IllegalLocationConstraintException")),
    "opt-in, short": (400, NAMED, error("IllegalLocationConstraint")),
    "400, no body": (400, NAMED, b""),
}


@pytest.mark.parametrize("answer", LEAVING)
def test_a_part_that_is_sent_elsewhere_goes_to_the_named_regions_host(answer: str) -> None:
    """Computed by botocore, whole, at once; all that follows goes there, and no Location does."""
    wire, client = Wire([LEAVING[answer]]), client_of("us-east-2")
    store = store_of(client, BUCKETS[0], wire)
    assert send(store).etag == '"e"'
    send(store)
    assert wire.places == [HERE, THERE, THERE]
    assert wire.bodies[0] == wire.bodies[1]
    assert own_call(client, BUCKETS[0]) == THERE


def test_a_part_that_is_held_in_memory_is_sent_elsewhere_too() -> None:
    """The other way of sending has the same rule, and reads the source once."""
    wire = Wire([LEAVING["307, header"]])
    reads: list[memoryview] = [memoryview(b"ab")]
    writer = store_of(client_of("us-east-2"), BUCKETS[0], wire).part_writer()
    writer.send_buffered(UPLOAD, 1, 2, lambda: iter([reads.pop()]), buffer())
    assert (wire.places, wire.bodies) == ([HERE, THERE], [b"ab", b"ab"])


def test_workers_of_one_copy_learn_of_a_redirect_from_one_another() -> None:
    """A writer that was there before goes straight to the region that another one was sent to."""
    wire = Wire()
    store = store_of(client_of("us-east-2"), BUCKETS[0], wire)
    early = store.part_writer()
    wire.answers = [LEAVING["307, header"]]
    send(store)
    early.send_buffered(UPLOAD, 2, 2, two_bytes, buffer())
    assert wire.places == [HERE, THERE, THERE]


def test_being_sent_back_and_forth_is_transient() -> None:
    """Once, not for ever: word of a young bucket is still getting around."""
    back = (307, {"x-amz-bucket-region": "us-east-2"}, b"")
    wire = Wire([LEAVING["307, header"], back])
    with pytest.raises(Transient) as raised:
        send(store_of(client_of("us-east-2"), BUCKETS[0], wire))
    assert raised.value.reason == "aws_error"
    assert wire.places == [HERE, THERE]


@pytest.mark.parametrize(
    "answer",
    [
        (307, {"x-amz-bucket-region": "us-east-2"}, error("TemporaryRedirect")),
        (400, {}, error("AuthorizationHeaderMalformed", "<Region>us-east-2</Region>")),
        (301, {"x-amz-bucket-region": "evil.example/"}, b""),
    ],
    ids=["to where we are", "malformed here", "no region's name"],
)
def test_being_sent_nowhere_is_transient(answer: tuple[int, dict[str, str], bytes]) -> None:
    """It is not taken for a store without trailers, and nothing is sent to a name that is none."""
    wire = Wire([answer])
    with pytest.raises(Transient):
        send(store_of(client_of("us-east-2"), BUCKETS[0], wire))
    assert wire.places == [HERE]


@pytest.mark.parametrize(
    "answer",
    [(403, NAMED, error("AccessDenied")), (400, {}, error("InvalidRequest")), (500, NAMED, b"")],
    ids=["denied", "another 400", "500"],
)
def test_other_refusals_send_nobody_elsewhere(answer: tuple[int, dict[str, str], bytes]) -> None:
    """A region in a refusal's head says nothing of where the bucket is reached."""
    wire = Wire([answer])
    writer = store_of(client_of("us-east-2"), BUCKETS[0], wire).part_writer()
    with pytest.raises(Failure):
        writer.send_buffered(UPLOAD, 1, 2, two_bytes, buffer())
    assert wire.places == [HERE]


def test_parts_follow_the_region_that_a_real_call_was_redirected_to() -> None:
    """An existing bucket elsewhere: boto3 follows S3's redirect, and the parts of it boto3."""
    client, wire = client_of("us-east-2"), Wire()
    store = store_of(client, BUCKETS[0], wire)
    send(store)  # the runtime has known the address for hours
    answers = [(301, NAMED, b""), (200, {}, b"<R><UploadId>u</UploadId></R>")]

    def create(request: Any, **_: object) -> AWSResponse:  # noqa: ANN401 - botocore's
        status, headers, body = answers.pop(0)
        raw = SimpleNamespace(stream=lambda: [body])
        return AWSResponse(request.url, status, HTTPHeaders.from_dict(headers), raw)

    client.meta.events.register("before-send.s3.CreateMultipartUpload", create)
    store.begin_upload(ObjectSpec("k", "text/csv", None))
    send(store)
    assert wire.places == [HERE, THERE]


@pytest.mark.parametrize("url", ["http://s3.example", "http://10.0.0.1:9000"])
def test_an_endpoint_without_tls_is_refused(url: str) -> None:
    """TLS is always verified; only this machine's loopback may do without."""
    client = session().client("s3", region_name="us-east-1", endpoint_url=url)
    with pytest.raises(ValueError, match="neither https nor loopback"):
        store_of(client, BUCKETS[0], Wire()).part_writer()


def test_a_bucket_whose_parts_we_cannot_sign_is_refused_with_words() -> None:
    """A multi-region access point is signed for in another way: better said than 403 for ever."""
    client = client_of("us-east-1")
    point = "arn:aws:s3::123456789012:accesspoint/abcdef.mrap"
    with pytest.raises(ValueError, match="not signed as parts are"):
        store_of(client, point, Wire()).part_writer()


def test_asking_botocore_sends_nothing() -> None:
    """Not even where our own sender answers the client's requests: here it has no time to."""
    network = Network(ssl.create_default_context())
    network.deadline.begin(lambda: 0.0)
    client = send_by(network, client_of("eu-south-2"))
    address = BucketAddress(client, "exports-archive").current()
    assert address.host == "exports-archive.s3.eu-south-2.amazonaws.com"
    with pytest.raises(TimeIsUp):
        client.list_parts(Bucket="exports-archive", Key="k", UploadId="u")
