"""One round: a stack, jobs through it, deaths among them, and the verdict on each job.

As many jobs are under way at once as there are runtimes for, so that a message that comes back
always finds one: what is measured from a death to the next receive is the lease, not a queue.
"""

from __future__ import annotations

import hashlib
import random
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

from local.apartmentiq import LinkFault, SyntheticExport, sha256_of
from local.cloud import LocalCloud
from tests.kills.breakage import NONE, Breakage
from tests.kills.diary import Diary, End
from tests.kills.judge import Terms, broken_promises, overdue
from tests.kills.plan import MIB, SIZE_BYTES, Aim, JobPlan, kill_anywhere
from tests.kills.watch import Watch, archived_events, look_at, reads_between
from tests.receives import template_with_receives

if TYPE_CHECKING:
    from local.apartmentiq import VendorStandIn

__all__ = ["BrokenPromise", "Round", "run_round"]

_POLL_SECONDS = 0.2
_PACED_DOWNLOADS = 60  # more than any job asks for: four parts and a probe for each attempt
_SPARE_RUNTIMES = 2  # a run that is frozen keeps its runtime until its time is up
_QUEUE_VISIBILITY_SECONDS = 5400.0  # template.yaml, ArchiveQueue


@dataclass(frozen=True)
class Round:
    """What is tried: `kills` deaths (or, with `jobs`, so many jobs), and what is promised."""

    title: str
    lease_seconds: int
    kills: int
    live: int
    deadline_seconds: float
    choose: Callable[[random.Random, bool], Aim] = kill_anywhere
    kills_a_job: int = 0  # 0: as the seed says
    parameters: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    # From the lease's end: polling, a cold start, a loaded machine. With the default lease of 45 s
    # it makes the minute that is promised.
    margin_seconds: float = 15.0
    part_bytes: int = 16 * MIB  # transfer/plan.py: smaller ones where a run is short

    @property
    def terms(self) -> Terms:
        """What its jobs are promised."""
        return Terms(
            self.lease_seconds, self.margin_seconds, _QUEUE_VISIBILITY_SECONDS, self.part_bytes
        )


class BrokenPromise(Exception):  # noqa: N818 - a verdict, not an error
    """The first job that was not treated as promised."""

    def __init__(self, diary: Diary, sentences: list[str], done: list[Diary]) -> None:
        super().__init__("; ".join(sentences))
        self.diary = diary
        self.sentences = sentences
        self.done = done


def run_round(
    wanted: Round, seed: str, state_folder: Path, breakage: Breakage = NONE
) -> list[Diary]:
    """Return the diaries of all jobs; raises BrokenPromise at the first that it must be."""
    parameters = {
        "MaximumConcurrency": str(wanted.live + _SPARE_RUNTIMES),
        **wanted.parameters,
    }
    with LocalCloud(
        template_path=template_with_receives(state_folder, 12),
        state_folder=state_folder / "state",
        parameters=parameters,
        maximum_runtimes=wanted.live + _SPARE_RUNTIMES,
        mirror_archive=False,
        function_environment={**wanted.environment, **breakage.environment},
    ) as cloud:
        assert cloud.vendor is not None
        return _Course(wanted, seed, cloud, cloud.vendor, breakage).run()


class _Course:
    """A round under way."""

    def __init__(
        self,
        wanted: Round,
        seed: str,
        cloud: LocalCloud,
        vendor: VendorStandIn,
        breakage: Breakage,
    ) -> None:
        self._wanted = wanted
        self._seed = seed
        self._cloud = cloud
        self._vendor = vendor
        self._breakage = breakage
        self._live: list[Diary] = []
        self._done: list[Diary] = []
        self._watch = Watch(cloud, breakage, wanted.terms, lambda: self._kills >= wanted.kills)
        cloud.pool().watch(self._watch.pool)
        cloud.aws.watch(self._watch.aws)
        vendor.on_link_bytes = self._watch.link_bytes

    def run(self) -> list[Diary]:
        deadline, pause = time.monotonic() + self._wanted.deadline_seconds, Event()
        while self._live or self._expected < self._wanted.kills:
            while self._may_begin():
                self._begin()
            for diary in list(self._live):
                self._attend(diary)
            if self._watch.error is not None:
                raise RuntimeError("the watch itself failed") from self._watch.error
            if time.monotonic() > deadline:
                slowest = max(self._live, key=lambda diary: len(diary.attempts))
                raise BrokenPromise(slowest, ["the round's time is up"], self._done)
            pause.wait(_POLL_SECONDS)
        return self._done

    @property
    def _kills(self) -> int:
        return sum(diary.kills for diary in [*self._live, *self._done])

    @property
    def _expected(self) -> int:
        """Deaths so far and those that jobs under way are still to have."""
        done = sum(diary.kills for diary in self._done)
        return done + sum(max(diary.plan.kills, diary.kills) for diary in self._live)

    def _may_begin(self) -> bool:
        return len(self._live) < self._wanted.live and self._expected < self._wanted.kills

    def _begin(self) -> None:
        number = len(self._live) + len(self._done)
        seed = f"{self._seed}/{self._wanted.title}/{number}"
        plan = JobPlan(seed, self._wanted.choose, self._wanted.kills_a_job)
        export = SyntheticExport(size_bytes=SIZE_BYTES, seed=number)
        chance = random.Random(f"{seed}/id")  # noqa: S311 - reproducible on purpose
        job_id = str(uuid.UUID(int=chance.getrandbits(128), version=4))
        self._vendor.add_job(export, job_id=job_id)
        for _ in range(_PACED_DOWNLOADS):
            fault = LinkFault(bytes_per_second=plan.bytes_per_second())
            self._vendor.disturb_link(fault, job_id=job_id)
        diary = Diary(job_id, plan, sha256_of(export), SIZE_BYTES)
        self._watch.follow(diary)
        self._live.append(diary)
        self._cloud.send({"job_id": job_id})

    def _attend(self, diary: Diary) -> None:
        terms = self._wanted.terms
        if diary.running is not None or not diary.attempts:
            return
        queued = any(diary.job_id in message.body for message in self._cloud.queued_messages())
        if late := overdue(diary, terms, time.monotonic(), queued=queued):
            raise BrokenPromise(diary, late, self._done)
        if queued:
            return
        self._close(diary)
        if sentences := broken_promises(diary, terms):
            raise BrokenPromise(diary, sentences, self._done)
        self._live.remove(diary)
        self._done.append(diary)

    def _close(self, diary: Diary) -> None:
        """Look at what became of a job, and free the memory that its object takes."""
        self._breakage.at_the_end(self._cloud, diary)
        for attempt, reads in zip(diary.attempts, reads_between(self._cloud, diary), strict=True):
            attempt.reads = reads
        diary.served_bytes = self._vendor.link_bytes(diary.job_id)
        item = self._cloud.job_item(diary.job_id) or {}
        key = item.get("key", {}).get("S", "")
        versions = self._cloud.aws.version_ids(self._cloud.bucket, key)
        state = replace(look_at(self._cloud, diary.job_id), versions=len(versions))
        sha256, size_bytes = self._digest(key) if versions else ("", 0)
        diary.end = End(
            state=state,
            sha256=sha256,
            size_bytes=size_bytes,
            event_versions=frozenset(
                event["object"]["version_id"]
                for event in archived_events(self._cloud, diary.job_id)
            ),
            version_id=versions[-1] if versions else "",
            dead_letters=sum(diary.job_id in letter.body for letter in self._cloud.dead_letters()),
        )
        for version in versions:
            self._cloud.clients.s3.delete_object(
                Bucket=self._cloud.bucket, Key=key, VersionId=version
            )

    def _digest(self, key: str) -> tuple[str, int]:
        body = self._cloud.clients.s3.get_object(Bucket=self._cloud.bucket, Key=key)["Body"]
        digest, size_bytes = hashlib.sha256(), 0
        for chunk in body.iter_chunks(MIB):
            digest.update(chunk)
            size_bytes += len(chunk)
        return digest.hexdigest(), size_bytes
