"""Whoever consumes our events gets them: by a rule and a queue of their own, or by a replay."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from local.apartmentiq import VendorStandIn
from local.aws.server import ACCOUNT_ID
from local.cloud import LocalCloud
from local.lake import read_lake
from local.loader import ExampleLoader
from local.sample_exports import SampleExport, floorplans_parquet, property_jsonl, units_csv
from tests.security.watch import watched

PATIENCE_SECONDS = 60
SAMPLES = {"csv": units_csv, "jsonl": property_jsonl, "parquet": floorplans_parquet}
ROWS = {"csv": 200, "jsonl": 60, "parquet": 50_000}


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCloud]:
    """Deploy template.yaml with an archive of events."""
    folder = tmp_path_factory.mktemp("local")
    parameters = {"EventArchiveDays": "7"}
    local = LocalCloud(state_folder=folder, parameters=parameters, maximum_runtimes=2)
    with local as cloud, watched(cloud):
        yield cloud


def _details(events: list[dict[str, Any]]) -> list[str]:
    return sorted(json.dumps(event["detail"]) for event in events)


def archive(cloud: LocalCloud, vendor: VendorStandIn, sample: SampleExport) -> str:
    """Let a sample be ordered, archived and announced; returns the job's id."""
    job = vendor.add_job(sample.content, order=sample.order)
    cloud.send({"job_id": job.job_id})
    return job.job_id


def test_the_example_consumer_loads_what_the_lake_holds(
    cloud: LocalCloud, vendor: VendorStandIn
) -> None:
    """Function → bus → rule → queue → a process of its own; at the keys lie the same rows.

    Of units that were exported twice the later export alone: by the events, and by the catalogue.
    """
    loader = ExampleLoader.subscribe(cloud)
    least = "00000000-0000-4000-8000-000000000000"  # within one second ids tell which is later
    earlier = vendor.add_job(units_csv().content, order=units_csv().order, job_id=least)
    jobs = {archive(cloud, vendor, sample()): ROWS[kind] for kind, sample in SAMPLES.items()}
    cloud.send({"job_id": earlier.job_id})
    cloud.wait_until_quiet(PATIENCE_SECONDS)
    assert len(cloud.emitted_events()) == len(jobs) + 1  # read, and so mirrored
    code, log = loader.run()
    assert code == 0, log
    assert loader.loaded_rows() == jobs
    lake = read_lake(cloud.archive_path)
    assert {(row.format, row.current_row_count) for row in lake} == set(ROWS.items())
    assert sum(row.row_count for row in lake) == sum(ROWS.values()) + ROWS["csv"]
    assert {(row.start_date, row.end_date) for row in lake} == {("2025-01-01", "2025-01-31")}


def test_a_replay_brings_an_event_again_and_sets_nothing_to_work(
    cloud: LocalCloud, vendor: VendorStandIn
) -> None:
    """The archive of events has what went out, marked as a replay, and not what came in."""
    sample = units_csv()
    job = vendor.add_job(sample.content, order=sample.order)
    cloud.put_event({"job_id": job.job_id})
    cloud.event_source.wait_for(
        lambda _: bool(cloud.job_item(job.job_id)), deadline_seconds=PATIENCE_SECONDS
    )
    cloud.wait_until_quiet(PATIENCE_SECONDS)
    before = cloud.emitted_events()
    invocations = len(cloud.invocations())
    (archived_events,) = cloud.clients.events.list_archives()["Archives"]
    assert archived_events["RetentionDays"] == 7
    now = datetime.now(UTC)
    arn = f"arn:aws:events:{cloud.region}:{ACCOUNT_ID}"
    cloud.clients.events.start_replay(
        ReplayName="again",
        EventSourceArn=f"{arn}:archive/{archived_events['ArchiveName']}",
        EventStartTime=now - timedelta(hours=1),
        EventEndTime=now,
        Destination={"Arn": f"{arn}:event-bus/{cloud.event_bus}"},
    )
    again = cloud.emitted_events()[len(before) :]
    assert {event["replay-name"] for event in again} == {"again"}
    assert _details(again) == _details(before)  # in any order, as on AWS
    cloud.wait_until_quiet(PATIENCE_SECONDS)
    assert len(cloud.invocations()) == invocations
