"""A stack that may run less than its queue asks for: Lambda refuses, and the alarm sees it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from local.apartmentiq import SyntheticExport
from local.cloud import LocalCloud
from local.metrics import read_throttles
from tests.alarms.evaluator import judge

PATIENCE_SECONDS = 60
PERIOD_SECONDS = 300


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCloud]:
    """Deploy with less concurrency than the event source takes at once."""
    state_folder: Path = tmp_path_factory.mktemp("local")
    parameters = {"ReservedConcurrency": "2", "MaximumConcurrency": "5"}
    with LocalCloud(state_folder=state_folder, parameters=parameters) as cloud:
        yield cloud


def test_refused_runs_ring_if_it_goes_on(cloud: LocalCloud) -> None:
    """Once is a hiccup; in three periods in a row it rings."""
    vendor = cloud.vendor
    assert vendor is not None
    for _ in range(6):
        cloud.send({"job_id": vendor.add_job(SyntheticExport(size_bytes=40 << 20)).job_id})
    cloud.event_source.wait_for(lambda counts: counts.failed > 0, deadline_seconds=PATIENCE_SECONDS)
    pool = cloud.pool()
    data = list(read_throttles(pool.function.name, pool.throttled_at()))
    assert data
    alarm = cloud.stack.resources["ThrottlesAlarm"].properties
    now = time.time()
    assert not judge(alarm, data, now)
    later = [replace(d, at=d.at + n * PERIOD_SECONDS) for n in range(3) for d in data]
    assert judge(alarm, later, now + 2 * PERIOD_SECONDS)
