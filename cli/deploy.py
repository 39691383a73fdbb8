"""`archiver deploy STAGE`: ask little, check first, show what will change, and then change it.

The order is the promise: nothing is built before login, stack, quota and values are good; nothing
changes before a person (or `--yes`) has seen what will. samconfig.toml is written when the change
is agreed to, so that the next deploy, and the next person's, is the same.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3

from cli import change_set as change_sets
from cli.change_set import Wanted
from cli.changes import loses_data, tell_changes, tell_parameters
from cli.clients import Clients
from cli.failure import ASKED_IN_VAIN, USAGE, Failure, explain
from cli.parameters import change, own_values, read_parameters, take_over
from cli.readiness import (
    check_bucket,
    check_concurrency,
    check_status,
    find_stack,
    who_deploys,
)
from cli.stack import tell_calls
from cli.stages import Stage, profile_of, read_stage, save_stage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from cli.change_set import ChangeSet
    from cli.parameters import Parameter, TakenOver
    from cli.readiness import NowDeployed

__all__ = [
    "PROJECT",
    "Person",
    "Wishes",
    "build_and_package",
    "deploy",
    "open_clients",
    "package_built",
    "show",
]

PROJECT = Path(__file__).resolve().parents[1]
_NOBODY = {"", "-", "none", "nobody"}


@dataclass(frozen=True, slots=True)
class Wishes:
    """What was typed: the four answers (None: not given), and changes of any parameter."""

    region: str | None = None
    alarm_email: str | None = None
    alarm_topic: str | None = None
    callbacks: bool | None = None
    bucket: str | None = None
    sets: Mapping[str, str] = field(default_factory=dict)
    unsets: Sequence[str] = ()
    tags: Mapping[str, str] = field(default_factory=dict)

    def as_sets(self) -> dict[str, str]:
        """Return all of it as parameters to set; --set goes before the four."""
        sets: dict[str, str] = {}
        if self.alarm_email is not None:
            sets["AlarmEmail"] = self.alarm_email
        if self.alarm_topic is not None:
            sets["AlarmTopicArn"] = self.alarm_topic
        if self.callbacks is not None:
            sets["ReceiveCallbacks"] = str(self.callbacks).lower()
        if self.bucket is not None:
            sets["ExistingArchiveBucketName"] = self.bucket
        return {**sets, **self.sets}


@dataclass(frozen=True, slots=True)
class Person:
    """Who is spoken to, and what was agreed to before anything was shown.

    `ask` puts a question; None where there is nobody to answer. `yes` agrees to whatever takes no
    data out of the stack, `confirm`, the stack's name, to all.
    """

    tell: Callable[[str], None]
    ask: Callable[[str], str] | None = None
    yes: bool = False
    confirm: str = ""


def deploy(
    name: str,
    wishes: Wishes,
    person: Person,
    *,
    back: bool = False,
    verbose: bool = False,
    project: Path = PROJECT,
    package: Callable[[Path, Stage, str, str, Callable[[str], None]], str] | None = None,
) -> int:
    """Deploy a stage, or with `back` the version before; returns the exit code.

    `package` builds and uploads the code, and returns the template that names it (as
    `build_and_package` does). Raises Failure, or what boto3 raises.
    """
    config, tell = project / "samconfig.toml", person.tell
    stage = read_stage(name, config)
    parameters = read_parameters(project / "template.yaml")
    region = _choose_region(stage, wishes, person.ask)
    clients = open_clients(stage, region)
    if verbose:
        tell_calls(clients.session)
    account, caller = who_deploys(clients)
    tell(f"{stage.stack} in {region}, account {account}")
    tell(f"  as {caller}")
    now = find_stack(clients.cloudformation, stage.stack)
    if now:
        check_status(name, stage.stack, now.status)
    if stage.unused:
        tell(f"  samconfig.toml says {', '.join(stage.unused)}: not used by this command")
    if back:
        if wishes.as_sets() or wishes.unsets or wishes.tags:
            raise Failure(
                "--previous goes back to what was: change nothing by the same command", USAGE
            )
        return _go_back(clients, stage, now, person)

    values = _settle(stage, now, parameters, wishes, person)
    tags = _tags(stage, now, wishes)
    said = {key: values.get(key, item.default) for key, item in parameters.items()}
    _check_values(clients, said, now, region, tell)
    prepare_code = package or build_and_package
    packaged = prepare_code(project, stage, region, said["Architecture"], tell)

    wanted = Wanted(stage.stack, packaged, said, tags, stage.settings)
    made = change_sets.prepare(clients, wanted, is_new=now is None)
    if made and not _agree(clients, wanted, made, now, person):
        return 1
    save_stage(name, config, region=region, values=values, tags=tags)
    if made is None:
        tell(f"{stage.stack} is as it should be: nothing to change.")
        return 0
    if now:
        change_sets.remember(clients, wanted, now)
    change_sets.execute(clients, made, tell=tell)
    for line in _what_next(clients, stage, is_new=now is None):
        tell(line)
    return 0


def show(name: str, *, as_json: bool, tell: Callable[[str], None], project: Path = PROJECT) -> int:
    """Say what a stage sets otherwise than the template, and what its stack has otherwise."""
    stage = read_stage(name, project / "samconfig.toml")
    parameters = read_parameters(project / "template.yaml")
    now, not_asked = _look(stage)
    taken = take_over(stage.written_by_sam, parameters)
    values = own_values(stage.values, parameters) if stage.is_ours else taken.kept
    wanted = {key: values.get(key, item.default) for key, item in parameters.items()}
    there = now.parameters if now else {}
    otherwise = {key: there.get(key) for key in wanted if now and there.get(key) != wanted[key]} | {
        key: value for key, value in there.items() if key not in wanted
    }
    if as_json:
        document = {
            "stage": name,
            "stack": stage.stack,
            "region": stage.region,
            "status": now.status if now else None,
            "set": {
                key: {"value": value, "default": parameters[key].default}
                for key, value in sorted(values.items())
            },
            "stack_has": otherwise,
            "tags": dict(stage.tags),
            "not_asked": not_asked or None,
        }
        tell(json.dumps(document, indent=2))
        return 0
    tell(f"{stage.stack} in {stage.region or 'no region yet'}")
    tell("samconfig.toml sets:" if values else "samconfig.toml sets nothing: all are defaults.")
    for key, value in sorted(values.items()):
        tell(f"  {key} = {value or 'empty'}  (default: {parameters[key].default or 'empty'})")
    for key, value in sorted(stage.tags.items()):
        tell(f"  tag {key} = {value}")
    if stage.written_by_sam:
        for line in _told_of(taken, parameters):
            tell(line)
    if not_asked:
        tell(not_asked)
    elif now is None:
        tell("There is no such stack yet.")
    elif otherwise:
        tell("The next deploy changes of the stack:")
        for line in tell_parameters(there, wanted):
            tell(line)
    else:
        tell("The stack has the same.")
    return 0


def _look(stage: Stage) -> tuple[NowDeployed | None, str]:
    """Return the stack, or why it was not asked: --show answers without a login, too."""
    if not stage.region:
        return None, ""
    try:
        clients = open_clients(stage, stage.region)
        return find_stack(clients.cloudformation, stage.stack), ""
    except ASKED_IN_VAIN as error:
        return None, f"The stack was not asked: {explain(error, stack=stage.stack)}."


# --- what is wanted ---


def _choose_region(stage: Stage, wishes: Wishes, ask: Callable[[str], str] | None) -> str:
    if stage.region and wishes.region not in {None, stage.region}:
        raise Failure(
            f"{stage.name} is in {stage.region}, and another region would be a second stack: copy "
            "its section of samconfig.toml under another name, or change its region there",
            USAGE,
        )
    usual = open_clients(stage, None).region
    region = wishes.region or stage.region
    if region is None and ask:
        region = ask(f"Region [{usual}]: " if usual else "Region, such as us-east-1: ").strip()
    region = region or usual
    if not region:
        raise Failure(f"{stage.name} has no region yet: give --region", USAGE)
    return region


def open_clients(stage: Stage, region: str | None) -> Clients:
    """Return clients of a region (None: the usual one); may raise what boto3 raises."""
    profile = profile_of(stage.settings)
    return Clients(boto3.Session(region_name=region, profile_name=profile))


def _settle(
    stage: Stage,
    now: NowDeployed | None,
    parameters: Mapping[str, Parameter],
    wishes: Wishes,
    person: Person,
) -> dict[str, str]:
    """Return what the stage sets from now on; asks of a new one, tells what it takes over."""
    tell = person.tell
    if stage.is_ours:
        values = own_values(stage.values, parameters)
        for gone in sorted(stage.values.keys() - values.keys()):
            tell(f"  {gone} is no parameter any more: taken out of samconfig.toml")
    else:
        # Whoever deployed by SAM has it in samconfig.toml, or in the stack alone.
        taken = take_over({**(now.parameters if now else {}), **stage.written_by_sam}, parameters)
        values = taken.kept
        for line in _told_of(taken, parameters):
            tell(line)
        if now is None and not stage.written_by_sam:
            wishes = _ask(wishes, parameters, person.ask, tell)
    changed = change(values, parameters, sets=wishes.as_sets(), unsets=wishes.unsets)
    if now is None and not (changed.get("AlarmEmail") or changed.get("AlarmTopicArn")):
        tell("  alarms go to nobody yet: --alarm-email, --alarm-topic, or subscribe to its topic")
    for key, value in changed.items():
        parameters[key].refuse(value)
    return changed


def _tags(stage: Stage, now: NowDeployed | None, wishes: Wishes) -> dict[str, str]:
    """Return the tags of all resources from now on; a stack that is taken over keeps its own."""
    had = now.tags if now and not stage.is_ours else {}
    return {key: value for key, value in {**had, **stage.tags, **wishes.tags}.items() if value}


def _told_of(taken: TakenOver, parameters: Mapping[str, Parameter]) -> Iterator[str]:
    """Yield what is taken over of values that SAM's guide wrote down, or that the stack has."""
    pinned = len(taken.defaults) + len(taken.former)
    if pinned:
        yield (
            f"  {pinned} values were written down that are the template's own: they follow it now"
        )
    for key, value in sorted(taken.former.items()):
        yield (
            f"  {key} was {value}, a default of before; it is {parameters[key].default or 'empty'} "
            f"now (back: --set {key}={value})"
        )
    for key, value in sorted(taken.gone.items()):
        yield f"  {key} ({value or 'empty'}) is no parameter any more: left out"
    for key, value in sorted(taken.kept.items()):
        yield f"  {key} stays {value or 'empty'}"


def _ask(
    wishes: Wishes,
    parameters: Mapping[str, Parameter],
    ask: Callable[[str], str] | None,
    tell: Callable[[str], None],
) -> Wishes:
    """Put what was not said to a person; asks again after an answer that cannot be."""
    if ask is None:
        return wishes
    given = wishes.as_sets()
    if not given.keys() & {"AlarmEmail", "AlarmTopicArn"}:
        answer = _answer(
            "Who is told of alarms: an e-mail address, an SNS topic's ARN, or nobody: ",
            lambda said: parameters[_alarm_parameter(said)].refuse(_no_word(said)),
            ask,
            tell,
        )
        told = {_alarm_parameter(answer): _no_word(answer)} if _no_word(answer) else {}
        wishes = replace(
            wishes, alarm_email=told.get("AlarmEmail"), alarm_topic=told.get("AlarmTopicArn")
        )
    if "ReceiveCallbacks" not in given:
        answer = _answer(
            "A public URL that ApartmentIQ calls when a job completes? [Y/n]: ",
            _yes_or_no,
            ask,
            tell,
        )
        if _is_no(answer):
            wishes = replace(wishes, callbacks=False)
    if not given.keys() & {"ExistingArchiveBucketName", "ArchiveBucketName"}:
        answer = _answer(
            "Archive into an existing bucket (its name), or a new one (Enter): ",
            parameters["ExistingArchiveBucketName"].refuse,
            ask,
            tell,
        )
        if answer:
            wishes = replace(wishes, bucket=answer)
    return wishes


def _answer(
    question: str,
    check: Callable[[str], object],
    ask: Callable[[str], str],
    tell: Callable[[str], None],
) -> str:
    while True:
        answer = ask(question).strip()
        try:
            check(answer)
        except Failure as failure:
            tell(f"  {failure}")
        else:
            return answer


def _no_word(answer: str) -> str:
    return "" if answer.lower() in _NOBODY else answer


def _alarm_parameter(answer: str) -> str:
    return "AlarmTopicArn" if answer.startswith("arn:") else "AlarmEmail"


def _is_no(answer: str) -> bool:
    return answer.lower() in {"n", "no"}


def _yes_or_no(answer: str) -> None:
    if answer.lower() not in {"", "y", "yes", "n", "no"}:
        raise Failure("answer y or n", USAGE)


def _check_values(
    clients: Clients,
    wanted: Mapping[str, str],
    now: NowDeployed | None,
    region: str,
    tell: Callable[[str], None],
) -> None:
    for line in check_concurrency(clients, wanted, now.parameters if now else {}):
        tell(line)
    if wanted["ExistingArchiveBucketName"]:
        for line in check_bucket(clients, wanted["ExistingArchiveBucketName"], region):
            tell(line)


# --- build and packaging ---


def build_and_package(
    project: Path, stage: Stage, region: str, architecture: str, tell: Callable[[str], None]
) -> str:
    """Build for Lambda as `make build` does, which alone knows when a build is due; then upload."""
    tell(f"building for {architecture}")
    code, said = _run(
        ["make", "--no-print-directory", "build", f"ARCHITECTURE={architecture}"], cwd=project
    )
    if code:
        sys.stderr.write(said)
        raise Failure("the build failed: the lines above say why")
    tell("uploading the code")
    return package_built(project / ".aws-sam" / "build" / "template.yaml", stage, region)


def package_built(template: Path, stage: Stage, region: str) -> str:
    """Put the built code into S3 by `sam package`; returns the template that names it there."""
    given = stage.settings
    where = ["--s3-bucket", str(given["s3_bucket"])] if given.get("s3_bucket") else ["--resolve-s3"]
    if given.get("kms_key_id"):
        where += ["--kms-key-id", str(given["kms_key_id"])]
    with tempfile.TemporaryDirectory() as folder:
        packaged = Path(folder) / "packaged.yaml"
        code, said = _run(
            [
                *(str(Path(sys.executable).with_name("sam")), "package", "--region", region),
                *("--template-file", str(template), "--output-template-file", str(packaged)),
                *("--s3-prefix", str(given.get("s3_prefix") or stage.stack), *where),
                "--no-progressbar",
            ],
            cwd=Path(folder),  # a samconfig.toml would have a say in it
            **({"AWS_PROFILE": profile} if (profile := profile_of(given)) else {}),
        )
        if code:
            why = " ".join(said.split("Error:")[-1].split())
            raise Failure(f"the code could not be uploaded: {why}")
        return packaged.read_text(encoding="utf-8")


def _run(command: Sequence[str], *, cwd: Path, **environment: str) -> tuple[int, str]:
    """Run a tool and return its code and what it said; a terminal sees that time goes by."""
    env = {**os.environ, "SAM_CLI_TELEMETRY": "0", "PYTHONUTF8": "1", **environment}
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as said:
        process = subprocess.Popen(command, cwd=cwd, env=env, stdout=said, stderr=said)
        began = time.monotonic()
        try:
            while process.poll() is None:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(1)
                if sys.stderr.isatty():
                    print(f"\r  {time.monotonic() - began:.0f} s ", end="", file=sys.stderr)
        finally:
            if process.poll() is None:  # Ctrl-C
                process.terminate()
                process.wait()
            if sys.stderr.isatty():
                print("\r          \r", end="", file=sys.stderr)
        said.seek(0)
        return process.returncode, said.read()


# --- the change ---


def _agree(
    clients: Clients, wanted: Wanted, made: ChangeSet, now: NowDeployed | None, person: Person
) -> bool:
    """Show a change and have it agreed to; if it is not, the change set is dropped."""
    tell = person.tell
    for title, told in (
        ("parameters:", tell_parameters(now.parameters, wanted.parameters) if now else ()),
        ("tags of all resources:", tell_parameters(now.tags if now else {}, wanted.tags)),
        ("resources:  + made   ~ changed   - taken out", tell_changes(made.changes)),
    ):
        for number, line in enumerate(told):
            if number == 0:
                tell(title)
            tell(line)
    try:
        agreed = _is_agreed(made, person)
    except BaseException:
        change_sets.drop(clients.cloudformation, made)
        raise
    if not agreed:
        change_sets.drop(clients.cloudformation, made)
        tell("nothing was changed")
    return agreed


def _is_agreed(made: ChangeSet, person: Person) -> bool:
    if person.confirm and person.confirm != made.stack:
        raise Failure(f"--confirm says {person.confirm}, and the stack is {made.stack}", USAGE)
    if person.confirm:
        return True
    if loses_data(made.changes):  # --yes was said before anybody knew of that
        if person.ask is None or person.yes:
            raise Failure(
                "this replaces or takes out what holds data: if that is meant, "
                f"give --confirm {made.stack}",
                USAGE,
            )
        return person.ask(f"\nType {made.stack} to do it: ").strip() == made.stack
    if person.yes:
        return True
    if person.ask is None:
        raise Failure("nothing was changed: nobody can be asked here; give --yes", USAGE)
    return person.ask("\nGo on? [y/N]: ").strip().lower() in {"y", "yes"}


def _go_back(clients: Clients, stage: Stage, now: NowDeployed | None, person: Person) -> int:
    tell = person.tell
    if now is None:
        raise Failure(f"{stage.stack} is not deployed yet: there is nothing to go back to", USAGE)
    before = change_sets.previous(clients, stage.stack, now)
    tell(f"going back to what was replaced at {before.at} (UTC): template, code and parameters")
    wanted = Wanted(stage.stack, before.template, before.parameters, now.tags, stage.settings)
    made = change_sets.prepare(clients, wanted, is_new=False)
    if made is None:
        tell(f"{stage.stack} is the same already: nothing to change.")
        return 0
    if not _agree(clients, wanted, made, now, person):
        return 1
    change_sets.remember(clients, wanted, now)
    change_sets.execute(clients, made, tell=tell)
    tell(f"{stage.stack} is what it was. samconfig.toml and this checkout are as they were:")
    tell(f"  archiver deploy {stage.name}             brings this checkout again")
    tell(f"  archiver deploy {stage.name} --previous  brings back what has just been left")
    return 0


def _what_next(clients: Clients, stage: Stage, *, is_new: bool) -> Iterator[str]:
    now: Any = find_stack(clients.cloudformation, stage.stack)
    if not is_new:
        yield f"{stage.stack} is up to date."
        return
    yield f"{stage.stack} is deployed. Next:"
    yield "  1. the vendor's credentials; until then jobs wait:"
    yield f"     {now.outputs['FillCredentialsCommand']}"
    yield '     {"client_id": "...", "client_secret": "..."}  then Ctrl-D'
    yield "  2. prove it, with a job that is complete at ApartmentIQ:"
    yield f"     archiver verify JOB --stack {stage.stack}"
    if "CallbackBaseUrl" in now.outputs:
        yield "  3. the callback_url to order jobs with:"
        yield f"     archiver callback-url --stack {stage.stack}"
