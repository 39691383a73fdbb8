"""The dashboard shows metrics that exist, and `archiver dashboard` fills in the stack's names."""

from __future__ import annotations

import json
import time

import pytest
import urllib3

from archiver.errors import Deferral, EndedAtVendor, Failure, Rejection
from cli.app import main
from cli.dashboard import fill_in, lines_of, names_of, read_widgets
from local.cloud import STACK_NAME, LocalCloud
from local.metrics import Datum, dimensions_of, read_emf
from tests.alarms.evaluator import metrics_of
from tests.functional.aws_script import AwsScript, Refusal, operation
from tests.pictures.dashboard import picture

FUNCTIONS = ("ArchiveExportFunction", "ReceiveCallbackFunction", "ReconcileExportsFunction")
PATIENCE_SECONDS = 60
DENIED = Refusal.json(400, b'{"__type": "AccessDeniedException", "message": "not allowed"}')
SCHEDULED = {"source": "aws.events", "detail-type": "Scheduled Event", "detail": {}}
# Emitted only where S3 copies from the vendor's bucket, which the stand-in does not grant; that
# tests/functional/test_copies.py sees it.
SEEN_ELSEWHERE = {"ServerSideCopies"}
# "Lambda metrics" and "Available CloudWatch metrics for Amazon SQS" in AWS's guides.
SERVICES = {
    ("AWS/Lambda", "FunctionName"): {"Invocations", "Errors", "Throttles", "Duration"},
    ("AWS/SQS", "QueueName"): {
        "ApproximateNumberOfMessagesVisible",
        "ApproximateNumberOfMessagesDelayed",
        "ApproximateNumberOfMessagesNotVisible",
        "ApproximateAgeOfOldestMessage",
    },
}
REASONS = {
    reason for kind in (Deferral, EndedAtVendor, Rejection, Failure) for reason in kind.reasons
}


def body_of(cloud: LocalCloud) -> str:
    """Return the dashboard with the deployed stack's names."""
    return fill_in(names_of(STACK_NAME, cloud.stack.outputs, cloud.region))


@pytest.fixture(scope="module")
def seen(cloud: LocalCloud) -> set[tuple[str, frozenset[str]]]:
    """Let every kind of outcome happen; return what was emitted, with the dimensions' names."""
    vendor = cloud.vendor
    assert vendor is not None
    good, failing = vendor.add_job(b"x"), vendor.add_job(b"x")
    vendor.answer_next("results", status=500, job_id=failing.job_id)
    waiting = vendor.add_job(None, status="submitted")
    jobs = [good, failing, waiting, vendor.add_job(None, status="cancelled")]
    for job in jobs:
        cloud.send({"job_id": job.job_id})
    cloud.send("not JSON")
    cloud.event_source.wait_for(lambda c: c.received >= 5, deadline_seconds=PATIENCE_SECONDS)
    cloud.event_source.wait_for(
        lambda _: (cloud.job_item(good.job_id) or {}).get("state") == {"S": "archived"},
        deadline_seconds=PATIENCE_SECONDS,
    )
    cloud.send({"job_id": good.job_id})
    cloud.invoke_async({"source": "x", "detail-type": "y", "detail": {"job_id": good.job_id}})
    missed = vendor.add_job(b"x")  # nobody tells of it, but the sweep finds it
    assert cloud.invoke(SCHEDULED, "ReconcileExportsFunction").succeeded
    with urllib3.PoolManager(ca_certs=str(cloud.ca_bundle), retries=False) as http:
        called = http.request("POST", str(cloud.callback_url), json={"job_id": missed.job_id})
        assert called.status == 202
        script = AwsScript(cloud.aws)
        script.answer_next(operation("SendMessageBatch"), DENIED, times=9)
        called = http.request("POST", str(cloud.callback_url), json={"job_id": missed.job_id})
    assert called.status == 503
    script.clear()
    vendor.answer_next("jobs", status=500, times=9)
    assert cloud.invoke(SCHEDULED, "ReconcileExportsFunction").succeeded
    vendor.clear_script()
    cloud.skip_waiting()
    cloud.event_source.wait_for(
        lambda _: {"AlreadyArchived", "Queued"} <= {name for name, _ in emitted(cloud)},
        deadline_seconds=PATIENCE_SECONDS,
    )
    return emitted(cloud)


def emitted(cloud: LocalCloud) -> set[tuple[str, frozenset[str]]]:
    """Return the names of all metrics so far, with those of their dimensions."""
    return {
        (datum.name, frozenset(name for name, _ in datum.dimensions))
        for function in FUNCTIONS
        for datum in read_emf(cloud.logs(function))
    }


def test_every_metric_on_it_exists(
    cloud: LocalCloud, seen: set[tuple[str, frozenset[str]]]
) -> None:
    """Ours were emitted, with these dimensions; AWS's are in its guides, of our resources."""
    names = set(names_of(STACK_NAME, cloud.stack.outputs, cloud.region).values())
    for widget in read_widgets(body_of(cloud)):
        for line in lines_of(widget):
            dimensions = dict(line.dimensions)
            if line.namespace == "ApartmentIqArchiver":
                metric = (line.name, frozenset(dimensions))
                assert metric in seen or line.name in SEEN_ELSEWHERE, metric
                assert dimensions["stack"] == STACK_NAME
            else:
                ((dimension, value),) = dimensions.items()
                assert line.name in SERVICES[line.namespace, dimension]
                assert value in names


def test_the_command_puts_it_under_the_stacks_name(
    people: LocalCloud, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the stack's own names in it, and nothing left open."""
    assert main(["dashboard", "--stack", STACK_NAME]) == 0
    assert f"dashboard {STACK_NAME} is in CloudWatch" in capsys.readouterr().out
    put = people.clients.cloudwatch.get_dashboard(DashboardName=STACK_NAME)["DashboardBody"]
    assert json.loads(put) == json.loads(body_of(people))
    assert "${" not in put
    assert main(["dashboard", "--stack", "nobody"]) == 3


def test_widgets_do_not_overlap_and_fit_into_cloudwatchs_grid(cloud: LocalCloud) -> None:
    """24 columns; CloudWatch would move what overlaps."""
    taken: set[tuple[int, int]] = set()
    for widget in read_widgets(body_of(cloud)):
        x, y = widget["x"], widget["y"]
        cells = {
            (column, row)
            for column in range(x, x + widget["width"])
            for row in range(y, y + widget["height"])
        }
        assert not cells & taken
        assert x + widget["width"] <= 24
        taken |= cells


def test_the_picture_draws_what_was_measured_and_invents_nothing(cloud: LocalCloud) -> None:
    """One datum is one point of its own line; every other line says that it has none."""
    widgets = read_widgets(body_of(cloud))
    now = time.time()
    stack = dimensions_of(stack=STACK_NAME)
    datum = Datum("ApartmentIqArchiver", "ArchivedBytes", stack, 7e6, now - 1)
    charts = picture(widgets, [datum], now - 30, now)["concat"]
    rows = [
        (chart["title"]["text"], row)
        for chart in charts
        for layer in chart["layer"]
        for row in layer["data"]["values"]
    ]
    drawn = [row for _, row in rows if row["v"] is not None]
    assert [(row["line"], row["v"]) for row in drawn] == [("bytes", 7e6)]
    assert 28 < drawn[0]["second"] < 30
    names = {(title, row["line"]) for title, row in rows}
    all_lines = sum(len(list(lines_of(widget))) for widget in widgets)
    assert len(names) == all_lines
    assert sum(name.endswith("(none)") for _, name in names) == all_lines - 1


def test_every_metric_of_ours_that_an_alarm_reads_is_one_that_the_functions_emit(
    cloud: LocalCloud, seen: set[tuple[str, frozenset[str]]]
) -> None:
    """Each was seen, by its name and dimensions, and its reason is a settled one."""
    for alarm in cloud.stack.of_type("AWS::CloudWatch::Alarm"):
        for metric in metrics_of(alarm.properties):
            if metric["Namespace"] != "ApartmentIqArchiver":
                continue
            dimensions = {d["Name"]: d["Value"] for d in metric["Dimensions"]}
            assert (metric["MetricName"], frozenset(dimensions)) in seen, alarm.logical_id
            assert dimensions["stack"] == STACK_NAME
            assert dimensions.get("reason", "bug") in REASONS
