"""A secret in any place that a run writes to is found, in every encoding, and its place is named.

The stack itself leaves none (conftest.py searches at the end of every file of tests); these show
that the search would notice. What is planted is made up here and known to a searcher of its own.
"""

from __future__ import annotations

import io
import json
import secrets
import socket
from collections.abc import Callable, Iterator, Mapping
from threading import Event

import pytest

from local.apartmentiq import SyntheticExport, VendorStandIn
from local.cloud import LocalCloud
from tests.taint.cloud import evidence, secrets_of
from tests.taint.encodings import ENCODINGS
from tests.taint.searcher import Searcher

MIB = 1 << 20
CALLBACKS = "ReceiveCallbackFunction"

Plant = Callable[[LocalCloud, str], None]


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCloud]:
    """Deploy a stack that nobody searches at the end: what is planted stays there."""
    with LocalCloud(state_folder=tmp_path_factory.mktemp("local"), maximum_runtimes=3) as cloud:
        yield cloud


def in_log(cloud: LocalCloud, text: str) -> None:
    """Let a runtime print something: its standard output and error are one file."""
    with (cloud.logs_path / "planted.log").open("a") as log:
        log.write(f"plain text {text}\n")


def in_metrics(cloud: LocalCloud, text: str) -> None:
    """Let a metric carry it, in CloudWatch's embedded format."""
    with (cloud.logs_path / "planted.log").open("a") as log:
        log.write(json.dumps({"_aws": {"Timestamp": 0}, "reason": text}) + "\n")


def in_trace(cloud: LocalCloud, text: str) -> None:
    """Send it to the tracer, in a segment's metadata."""
    host, _, port = cloud.trace_address.rpartition(":")
    segment = {"id": secrets.token_hex(8), "metadata": {"default": {"error": text}}}
    header = '{"format": "json", "version": 1}\n'
    datagram, pause = header + json.dumps(segment), Event()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.sendto(datagram.encode(), (host, int(port)))
    for _ in range(1000):  # it is read in another thread, within milliseconds
        if datagram in cloud.trace_datagrams():
            return
        pause.wait(0.01)
    raise TimeoutError("the tracer did not take the datagram")


def in_table(cloud: LocalCloud, text: str) -> None:
    """Write it into an item."""
    item = {"id": {"S": f"planted#{secrets.token_hex(4)}"}, "detail": {"S": text}}
    cloud.clients.dynamodb.put_item(TableName=cloud.table, Item=item)


def in_dead_letter(cloud: LocalCloud, text: str) -> None:
    """Put it into a dead letter's attribute."""
    cloud.clients.sqs.send_message(
        QueueUrl=cloud.dead_letter_queue_url,
        MessageBody="{}",
        MessageAttributes={"detail": {"DataType": "String", "StringValue": text}},
    )


def in_event(cloud: LocalCloud, text: str) -> None:
    """Emit it."""
    cloud.put_event({"detail": text}, source="apartmentiq.archiver", detail_type="Planted")


def in_object(cloud: LocalCloud, text: str) -> None:
    """Store it as an object's metadata, beside bytes that are nobody's business."""
    cloud.clients.s3.put_object(
        Bucket=cloud.bucket,
        Key=f"planted/{secrets.token_hex(4)}",
        Body=io.BytesIO(b"x"),
        Metadata={"planted": text},
    )


PLACES: Mapping[str, tuple[Plant, str]] = {
    "log": (in_log, "log planted.log"),
    "metrics": (in_metrics, "metrics in planted.log"),
    "trace": (in_trace, "trace, datagram"),
    "table": (in_table, "table, item planted#"),
    "dead letter": (in_dead_letter, "queue "),
    "event": (in_event, "event "),
    "object": (in_object, "object planted/"),
}


@pytest.mark.parametrize("place", PLACES)
def test_a_secret_is_found_in_every_place_and_every_encoding(cloud: LocalCloud, place: str) -> None:
    """One secret for each encoding, so that no encoding is found in another's stead."""
    plant, where = PLACES[place]
    planted = {name: f"planted-{secrets.token_urlsafe(32)}" for name in ENCODINGS}
    searcher = Searcher()
    searcher.add(planted.items())
    for name, secret in planted.items():
        plant(cloud, ENCODINGS[name](secret))
    found = searcher.search(evidence(cloud))
    cloud.empty_queues()
    here = {finding.what for finding in found if finding.where.startswith(where)}
    assert here == set(ENCODINGS)
    assert not [finding for finding in found if planted[finding.what] in str(finding)]


def test_the_runs_own_secrets_are_known_and_its_places_are_not_empty(
    cloud: LocalCloud, vendor: VendorStandIn
) -> None:
    """Nothing is found, but not because nobody looked: for each kind of secret, in each place."""
    assert cloud.callback_url is not None
    job = vendor.add_job(SyntheticExport(17 * MIB))
    vendor.use_temporary_keys(3600)
    for body in ({"job_id": job.job_id}, {"job_id": "nonsense"}):
        cloud.send(body)
    cloud.wait_until_quiet()
    cloud.invoke({"rawPath": "/nobody", "requestContext": {"http": {"method": "GET"}}}, CALLBACKS)
    names = {name for name, _ in secrets_of(cloud)}
    assert names >= {"client secret", "client_secret", "token", "access token", "callback token"}
    assert names >= {"link signature", "link credential", "link security token"}
    left = evidence(cloud)
    for beginning in ("log ", "metrics in ", "trace", "table", "queue ", "event ", "object "):
        assert [where for where in left if where.startswith(beginning)], beginning
    for beginning in ("answer of ArchiveExportFunction", f"answer of {CALLBACKS}", "call "):
        assert [where for where in left if where.startswith(beginning)], beginning
    searcher = Searcher()
    searcher.add(secrets_of(cloud))
    assert [str(finding) for finding in searcher.search(left)] == []
    cloud.empty_queues()


def test_a_secret_that_is_gone_again_was_seen_on_its_way(cloud: LocalCloud) -> None:
    """A message that was sent and deleted lies nowhere any more; the call that sent it is known."""
    planted = {name: f"planted-{secrets.token_urlsafe(32)}" for name in ENCODINGS}
    searcher = Searcher()
    searcher.add(planted.items())
    for name, secret in planted.items():
        # A malformed id is a dead letter at once; a young job that nobody knows would wait.
        cloud.invoke({"detail": {"job_id": "not-an-id", "note": ENCODINGS[name](secret)}})
    cloud.wait_until_quiet()
    cloud.empty_queues()
    found = searcher.search(evidence(cloud))
    assert {finding.what for finding in found if "SendMessage" in finding.where} == set(ENCODINGS)
