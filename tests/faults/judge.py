"""What must hold in every schedule: at each commit, at each end of an invocation, and at rest.

The invariants are those of the design; each `violate` names one. What is excused is said beside it,
and counted.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import replace
from datetime import datetime
from typing import Any

from archiver.aws.moves import plain
from archiver.catalogue import entry_key, receipt_of
from archiver.network.deadline import TELL_SECONDS
from archiver.receipt import Receipt
from tests.faults.fleet import Invocation
from tests.faults.objects import Upload, Version
from tests.faults.queues import Letter
from tests.faults.vendor import ExportJob
from tests.faults.world import World

__all__ = ["Judge"]

_KEY = re.compile(r"report_type=.*/([0-9a-f-]{36})\.(?:csv|jsonl|parquet|bin)")
# Which kind of fault can make a failure's reason true.
_CAUSES = {
    "network": {"network"},
    "vendor_error": {"vendor"},
    "aws_error": {"aws", "network"},  # a part that breaks off can break off on either side
}
# What a rejection says of the job, by reason; the others depend on what has happened.
_KINDS = {
    "no_such_job": "absent",
    "forbidden": "forbidden",
    "quota_exceeded": "quota",
    "untrusted_link": "untrusted",
    "malformed_message": "malformed",
}
# A killed job is to be back this soon after the kill: the lease, and the beat that set it.
_BACK_WITHIN_SECONDS = 50.0
# After a commit: eight requests at most, and a beat that is under way is waited for for 2 s.
_TAIL_SECONDS = 10.0
# What faults can delay a job by: a runtime that dies before its first beat leaves the message
# hidden for the queue's own visibility, 5,400 s, at each of at most six receives; one that could
# not be sent on hides it for up to half a day.
_LONGEST_FAULTS_SECONDS = 6 * 5_400 + 3_600 + 12 * 3_600
_LEAST_PATIENCE_SECONDS = 24 * 3_600.0
_FOREIGN = b"somebody else's"
_OUT_OF_TIME = "The invocation's time was up. The last thing:"  # a wait was clipped, or hung up on


class Judge:
    """Watches a world."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.excused: Counter[str] = Counter()
        world.objects.on_commit = self._on_commit
        world.objects.on_entry = self._on_entry
        world.bus.on_event = self._on_event
        world.objects.on_begin = self._on_begin
        world.objects.on_first_part = self._on_first_part
        world.objects.on_abort = self._on_abort
        world.fleet.on_end = self._on_end

    def plant_foreign_object(self, job: ExportJob) -> None:
        """Put an object of somebody else's at the job's key."""
        objects = self.world.objects
        for extension in (job.output_format, "bin"):
            key = self._key(job, extension)
            objects.versions[key] = [
                Version(key, "v1", _FOREIGN, '"foreign"', "crc", {}, self.world.now, "people")
            ]

    def _key(self, job: ExportJob, extension: str) -> str:
        known = extension != "bin"
        fields = job.fields(0.0)
        values = [
            fields[name] if known else "unknown"
            for name in ("report_type", "output_format", "start_date", "end_date")
        ]
        report, form, start, end = values
        return (
            f"report_type={report}/format={form}/start_date={start}/end_date={end}"
            f"/{job.job_id}.{extension}"
        )

    # --- at each step ---

    def _job_of(self, key: str) -> ExportJob | None:
        match = _KEY.fullmatch(key)
        return self.world.jobs.get(match[1]) if match else None

    def _on_commit(self, version: Version) -> None:
        """No reader ever sees a partial or a wrong object, or a second one."""
        job, run = self._job_of(version.key), self.world.chaos.run()
        if isinstance(run, Invocation):
            run.committed_at = version.at
        if job is None:
            raise self._violate(f"an object at a key of no job: {version.key}")
        told = version.metadata.get("source-etag")
        if not any(s.body == version.body and s.etag.strip('"') == told for s in job.sources):
            raise self._violate(f"a partial or mixed object became visible: {version.key}")
        if len(self.world.objects.versions[version.key]) > 1:
            raise self._violate(f"a second version of {version.key}")

    def _on_entry(self, version: Version) -> None:
        """No entry tells of an export that is not there, and none is written twice."""
        told = receipt_of(json.loads(version.body))
        exports = self.world.objects.versions.get(told.key, [])
        if not any(export.crc == told.checksum_crc64nvme for export in exports):
            raise self._violate(f"an entry before its export: {version.key}")
        if version.key != entry_key(told, prefix=""):
            raise self._violate(f"an entry at another's place: {version.key}")
        if len(self.world.objects.entries[version.key]) > 1:
            raise self._violate(f"a second version of {version.key}")

    def _on_event(self, kind: str, detail: dict[str, Any]) -> None:
        """Nobody is told of an export that has no entry."""
        if kind != "Export Archived":
            return
        object_key, checksum = detail["object"]["key"], detail["object"]["checksum_crc64nvme"]
        told = [receipt_of(json.loads(v[-1].body)) for v in self.world.objects.entries.values()]
        if not any((t.key, t.checksum_crc64nvme) == (object_key, checksum) for t in told):
            self._violate(f"{object_key} was told of before it had its entry")

    def _on_begin(self, upload: Upload) -> None:
        """No upload is begun while one that is written down could be gone on with."""
        job, run = self._job_of(upload.key), self.world.chaos.run()
        item = self.world.table.items.get(f"job#{job.job_id}" if job else "", {})
        known = self.world.objects.uploads.get(item.get("upload_id", {}).get("S", ""))
        if job is None or run is None or known is None or known.state != "open":
            return
        same = (
            item["source_etag"]["S"] == job.source.etag.strip('"')
            and known.metadata.get("copy-method") == upload.metadata.get("copy-method")
            and len(known.parts) > 0
        )
        # After a 409 S3 wants every part again; if the old upload is still there, an abort failed.
        if not same or run.blames("aws"):
            return
        if isinstance(run, Invocation) and known.at > run.began_at and known.by != run.name:
            self.excused["an overtaken runtime began an upload; its checkpoint was refused"] += 1
        else:
            raise self._violate(f"{upload.upload_id} was begun though {known.upload_id} is there")

    def _on_first_part(self, upload: Upload) -> None:
        """No export is copied into two uploads, unless the first could not be given up."""
        run = self.world.chaos.run()
        for other in self.world.objects.open_uploads():
            twice = (
                other is not upload
                and other.key == upload.key
                and bool(other.parts)
                and all(
                    other.metadata.get(name) == upload.metadata.get(name)
                    for name in ("source-etag", "copy-method")
                )
            )
            blamed = [r for r in (run, self._run_named(other.by)) if r and r.blames("aws")]
            if twice and not blamed:
                raise self._violate(f"{upload.upload_id} copies what {other.upload_id} has")

    def _run_named(self, name: str) -> Invocation | None:
        return next((run for run in self.world.fleet.invocations if run.name == name), None)

    def _on_abort(self, upload: Upload) -> None:
        """Note whether an upload that others would go on with was given up."""
        run, job = self.world.chaos.run(), self._job_of(upload.key)
        item = {} if job is None else self._item(job)
        written_down = item.get("upload_id") == {"S": upload.upload_id}
        if isinstance(run, Invocation) and written_down and upload.parts and job is not None:
            same = item["source_etag"]["S"] == job.source.etag.strip('"')
            committed = bool(self.world.objects.versions.get(upload.key))
            spoilt = any(part not in job.source.body for part in upload.parts.values())
            if same and not committed and not spoilt:  # what is spoilt nobody goes on with
                run.aborts.append(upload)

    def _on_end(self, run: Invocation) -> None:
        if run.how.startswith("raised"):
            self._violate(f"an exception escaped the function: {run.how}")
        if run.reason == "bug":
            self._violate(f"{run.name} failed by a bug: {self.world.journal.texts[-6:]}")
        if run.outcome == "deferred" and run.how == "failed":
            self._violate(f"{run.name}'s deferral used up a receive")
        if run.how == "died":
            self._check_comes_back(run)
        self._check_in_time(run)
        self._check_aborts(run)

    def _check_in_time(self, run: Invocation) -> None:
        """Whatever is waited for, a run ends by itself, and nobody waits for its heartbeat."""
        if run.timed_out and run.frozen_until < run.deadline - TELL_SECONDS:
            self._violate(f"Lambda ended {run.name}, which waited for too long: {run.faults}")
        only_beats = run.blames("beat") and {cause for cause, _ in run.faults} <= {"beat", "time"}
        told = run.reason == "out_of_time" and _OUT_OF_TIME in run.detail
        lasted = 0.0 if run.committed_at is None else self.world.now - run.committed_at
        if only_beats and (told or (run.outcome == "archived" and lasted > _TAIL_SECONDS)):
            self._violate(f"{run.name} waited for its heartbeat: {run.reason}, {lasted:.1f} s")

    def _check_comes_back(self, run: Invocation) -> None:
        """Let no killed job stay away for longer than a minute, if its beats were heard."""
        letter, now = run.letter, self.world.now
        lived = now - run.began_at
        if lived < 5.0 or run.blames("aws", "beat", "freeze") or letter.deleted or run.frozen_until:
            return
        if self.world.chaos.profile.slow > 1.0:
            return  # a beat itself may take most of a lease here
        if run.outcome is None and letter.visible_at > now + _BACK_WITHIN_SECONDS:
            self._violate(
                f"{run.name} was killed and its message stays hidden for "
                f"{letter.visible_at - now:.0f} s"
            )

    def _check_aborts(self, run: Invocation) -> None:
        """Finished parts are given up only where the job ends, or S3 or the source took them."""
        ended = run.outcome in {"archived", "already_archived", "rejected", "ended_at_vendor"}
        last = run.letter.receives >= self.world.queues.max_receives
        if ended or last or run.how == "died" or run.blames("aws"):
            return
        for upload in run.aborts:
            self._violate(f"{run.name} gave up {upload.upload_id} with finished parts")

    # --- at rest ---

    def at_rest(self) -> None:
        """Judge everything when nothing happens any more."""
        world = self.world
        if world.queues.messages:
            self._violate(f"messages are left: {sorted(world.queues.messages)}")
        if world.fleet.stopped_loops:
            self._violate("Lambda's loop detection stopped a waiting job")
        for job in world.jobs.values():
            self._check_job(job)
        for letter in world.queues.dead:
            self._check_letter(letter)
        self._check_uploads()
        self._check_secrets()

    def after_redrive(self) -> None:
        """After people's redrive in good weather every export is archived, once and for all."""
        world = self.world
        for job in world.jobs.values():
            if job.kind in {"export", "slow"} and not self._archived(job):
                permanent = {letter.attributes.get("reason") for letter in self._letters(job)}
                if not permanent & {"object_conflict", "waited_too_long"}:
                    self._violate(f"{job.job_id} is not archived after the redrive: {permanent}")
            self._check_job(job)
        for letter in world.queues.dead:
            self._check_letter(letter)
        self._check_secrets()

    def outcomes(self) -> Counter[str]:
        """Count how the jobs ended."""
        tally: Counter[str] = Counter()
        for job in self.world.jobs.values():
            if self._archived(job):
                tally["archived"] += 1
            elif self._ended(job):
                tally[f"ended at the vendor: {job.ends}"] += 1
        for letter in self.world.queues.dead:
            tally[f"dead letter: {letter.attributes.get('reason', 'none (runtime died)')}"] += 1
        return tally

    def _check_job(self, job: ExportJob) -> None:
        """Allow three ends: archived once and told, set aside, ended at the vendor."""
        versions = [
            version
            for key, found in self.world.objects.versions.items()
            for version in found
            if job.job_id in key and version.body is not _FOREIGN
        ]
        if len(versions) > 1:
            self._violate(f"{job.job_id} is in the bucket {len(versions)} times")
        item = self._item(job)
        if self._archived(job):
            self._check_receipt(job, item, versions)
        elif not self._ended(job) and not self._letters(job):
            self._violate(f"{job.job_id} ({job.kind}) is lost: {item}")
        if job.ends != "succeeded" and (versions or self._archived(job)):
            self._violate(f"{job.job_id} is archived, but it {job.ends}")

    def _check_receipt(self, job: ExportJob, item: dict[str, Any], versions: list[Version]) -> None:
        if len(versions) != 1:
            self._violate(f"{job.job_id} has a receipt and {len(versions)} objects")
            return
        version = versions[0]
        told = {
            "version_id": {"S": version.version_id},
            "size_bytes": {"N": str(len(version.body))},
            "checksum_crc64nvme": {"S": version.crc},
            "etag": {"S": version.etag.strip('"')},
            "key": {"S": version.key},
            "source_etag": {"S": version.metadata["source-etag"]},
        }
        wrong = {name: item.get(name) for name, value in told.items() if item.get(name) != value}
        if wrong:
            self._violate(f"{job.job_id}'s receipt is wrong: {wrong}, not {told}")
        if not self._events("Export Archived", job):
            self._violate(f"{job.job_id} is archived and nobody was told")
        self._check_entry(Receipt.from_fields(plain(item)))

    def _check_entry(self, receipt: Receipt) -> None:
        """Ask that an archived job has its entry, whose line gives its receipt back."""
        written = self.world.objects.entries.get(receipt.catalogue_key or "", [])
        entries = [receipt_of(json.loads(v.body), receipt.catalogue_key) for v in written]
        if entries != [replace(receipt, emitted_at=None)]:
            self._violate(f"{receipt.job_id} has {receipt}, and as its entry {entries}")

    def _check_letter(self, letter: Letter) -> None:
        reason = letter.attributes.get("reason")
        if letter.redriven and reason is None:
            self._check_redriven(letter)
        elif reason is None:
            self._violate(f"a dead letter of ours without a reason: {letter.body[:80]}")
        else:
            self._check_reason(letter, reason)

    def _check_redriven(self, letter: Letter) -> None:
        """SQS redrives by itself only what the function could not set aside."""
        last = next(
            (run for run in reversed(self.world.fleet.invocations) if run.letter is letter), None
        )
        if last is None:
            self._violate(f"a message was redriven that nobody received: {letter}")
        elif last.how == "died":
            self.excused["redriven without a reason: the runtime died on the last receive"] += 1
        elif "sqs" in last.sides:
            self.excused["redriven without a reason: the letter could not be sent"] += 1
        elif last.blames("freeze"):
            self.excused["redriven without a reason: frozen past its lease, as good as dead"] += 1
        elif letter.twice_at == self.world.queues.max_receives:
            self.excused["redriven without a reason: SQS delivered its last receive twice"] += 1
        elif letter.delete_lost:
            self.excused["redriven without a reason: SQS lost the acknowledgement"] += 1
        else:
            self._violate(f"{letter.message_id} was redriven; last: {last.how} {last.reason}")

    def _check_reason(self, letter: Letter, reason: str) -> None:
        """Ask that a reason is true of the job, or of what went wrong at the last receive."""
        job = self.world.jobs.get(letter.attributes.get("job_id", ""))
        run: Invocation = letter.sent_in
        if reason in _KINDS:
            kind = "malformed" if job is None else job.kind
            if kind != _KINDS[reason]:
                self._violate(f"a {kind} job was rejected as {reason}")
        elif reason == "object_conflict":
            if job is None or (job.kind != "conflict" and len(job.sources) == 1):
                self._violate(f"object_conflict without a conflict: {letter.attributes}")
        elif reason == "waited_too_long":
            self._check_waited(letter, run)
        elif reason in _CAUSES:
            self._check_failure(letter, reason, job, run)
        else:
            self._violate(f"a dead letter for an unknown reason: {letter.attributes}")

    def _check_waited(self, letter: Letter, run: Invocation) -> None:
        received = run.letter
        seen = received.attributes.get("first_seen_at")
        began = datetime.fromisoformat(seen).timestamp() if seen else received.sent_at
        waited = letter.sent_at - began - self._failed_for(run)
        if waited < self.world.physics.max_wait_hours * 3_600 - 1:
            self._violate(f"waited_too_long too early: {letter.attributes}")
        job = self.world.jobs.get(letter.attributes.get("job_id", ""))
        sent_at = letter.sent_at
        longest = _LONGEST_FAULTS_SECONDS + self.world.outages.total_seconds()
        if job is not None and sent_at - job.finishes_at > longest:
            self._violate(f"waited_too_long, but nothing was to be waited for: {letter.attributes}")

    def _check_failure(
        self,
        letter: Letter,
        reason: str,
        job: ExportJob | None,
        run: Invocation,
    ) -> None:
        if reason != "bug" and self._failed_for(run) >= _LEAST_PATIENCE_SECONDS:
            return  # nobody else was archived either: that is told after a day
        if run.letter.receives < self.world.queues.max_receives:
            self._violate(f"set aside after {run.letter.receives} receives: {letter.attributes}")
        if not self._other_archived(run):
            self._violate(f"set aside though nobody else was archived: {letter.attributes}")
        if run.blames(*_CAUSES[reason]):
            return
        if reason == "vendor_error" and job is not None and len(job.sources) > 1:
            self.excused["vendor_error: the export kept changing"] += 1
            return
        if reason == "aws_error" and self._was_shared(run):
            self.excused["aws_error: two runs on one job met"] += 1
            return
        self._violate(f"a dead letter for {reason}, but nothing of that kind went wrong: {letter}")

    def _failed_for(self, run: Invocation) -> float:
        """Return for how long a message has waited for an outage's end, in seconds."""
        since = run.letter.attributes.get("outage_since")
        began = datetime.fromisoformat(since).timestamp() if since else run.began_at
        earlier = float(run.letter.attributes.get("outage_seconds", "0"))
        return run.began_at - began + earlier

    def _other_archived(self, run: Invocation) -> bool:
        """Tell whether another job was archived while this message's receives went by."""
        return any(
            other.outcome == "archived"
            and other.job_id != run.job_id
            and other.ended_at is not None
            and other.ended_at >= run.letter.first_received_at
            for other in self.world.fleet.invocations
        )

    def _was_shared(self, run: Invocation) -> bool:
        """Tell whether another invocation was at work on the same job meanwhile."""
        return any(
            other is not run
            and other.job_id == run.job_id
            and other.began_at <= (run.ended_at or self.world.now)
            and (other.ended_at or self.world.now) >= run.began_at
            for other in self.world.fleet.invocations
        )

    def _check_uploads(self) -> None:
        """Let an upload stay for the lifecycle rule only where a fault explains it."""
        for upload in self.world.objects.open_uploads():
            job = self._job_of(upload.key)
            runs = [
                run
                for run in self.world.fleet.invocations
                if job is not None and job.job_id in run.letter.body.lower()
            ]
            creator = next((run for run in runs if run.name == upload.by), None)
            archiver = next((run for run in runs if run.outcome == "archived"), None)
            if archiver is not None and archiver.began_at > upload.at and not archiver.faults:
                # Whoever archives tidies up behind all earlier attempts.
                self._violate(f"{archiver.name} archived and left {upload.upload_id} behind")
            elif any(run.how == "died" for run in runs):
                self.excused["upload left to the lifecycle rule: a runtime died"] += 1
            elif any(run.blames("aws", "time") for run in runs):
                self.excused["upload left to the lifecycle rule: S3 or the table failed"] += 1
            elif creator is not None and any(
                run.frozen_until or run.blames("beat") for run in runs
            ):
                self.excused["upload left to the lifecycle rule: a runtime was overtaken"] += 1
            else:
                self._violate(f"an orphan upload: {upload.upload_id} of {upload.key}")

    def _check_secrets(self) -> None:
        world = self.world
        evidence = [
            *world.journal.texts,
            *(json.dumps(item) for item in world.table.items.values()),
            *(sent for _, _, sent in world.bus.events),
            *(f"{m.body} {m.attributes}" for m in world.queues.sent if m.by_function),
            *(
                f"{version.key} {version.metadata}"
                for versions in world.objects.versions.values()
                for version in versions
            ),
            *(version.body.decode() for [version] in world.objects.entries.values()),
            *(f"{upload.metadata}" for upload in world.objects.uploads.values()),
        ]
        for text in evidence:
            if "canary" in text or "X-Amz-Signature" in text or "Bearer" in text:
                self._violate(f"a secret was written down: {text[:300]}")

    # --- looking ---

    def _item(self, job: ExportJob) -> dict[str, Any]:
        return self.world.table.items.get(f"job#{job.job_id}", {})

    def _archived(self, job: ExportJob) -> bool:
        return bool(self._item(job).get("state") == {"S": "archived"})

    def _ended(self, job: ExportJob) -> bool:
        return bool(self._events("Export Failed At Vendor", job))

    def _events(self, kind: str, job: ExportJob) -> list[dict[str, Any]]:
        return [
            detail
            for emitted, detail, _ in self.world.bus.events
            if emitted == kind and detail.get("job", detail).get("job_id") == job.job_id
        ]

    def _letters(self, job: ExportJob) -> list[Letter]:
        return [m for m in self.world.queues.dead if job.job_id in m.body.lower()]

    def _violate(self, what: str) -> BaseException:
        return self.world.chaos.violate(what)
