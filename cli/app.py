"""The commands of `archiver`: what each is called, what it takes, and which function does it.

Nothing is done here. A command's module is loaded when it runs, so that `--help` need not wait for
boto3, DuckDB or the embedded cloud.
"""

from __future__ import annotations

import inspect
import os
import signal
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn
from uuid import UUID

import typer

from local.state_folder import UP_FOLDER
from local.surroundings import NoRoomError, leave_the_person_out, sentence_of, speak_plainly

if TYPE_CHECKING:
    from types import FrameType

    from cli.failure import Failure

__all__ = ["app", "main"]

app = typer.Typer(
    name="archiver",
    no_args_is_help=True,
    rich_markup_mode=None,  # plain text reads the same on every terminal, and in a pipe
    pretty_exceptions_enable=False,  # a traceback is a bug of ours; it should look like one
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    help="Archive ApartmentIQ's exports: a stack's commands, deployed or on this machine.",
    epilog=(
        "Exit codes: 0 done, or the answer is yes; 1 the answer is no; 2 what was typed cannot be "
        "or was not confirmed; 3 AWS could not be asked or refused; 130 interrupted."
    ),
)


def _job_id(text: str) -> str:
    try:
        return str(UUID(text))
    except ValueError as error:
        raise typer.BadParameter(
            f"{text!r} is not a job id: give the UUID that ApartmentIQ gave it"
        ) from error


Job = Annotated[str, typer.Argument(metavar="JOB", parser=_job_id, help="the job's id, a UUID")]
Json = Annotated[bool, typer.Option("--json", help="print JSON, for programs")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="tell each call of AWS")]


def _known_stacks() -> list[str]:
    from cli.stack import known_stacks  # noqa: PLC0415 - loads boto3

    return known_stacks()


def _option(name: str, annotation: object, default: object) -> inspect.Parameter:
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation
    )


_Stack = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="a deployed stack; `local`: the one that `archiver local` keeps up",
        autocompletion=_known_stacks,
    ),
]
_StateFolder = Annotated[
    Path,
    typer.Option(metavar="DIR", help="of a local run (default: .local/up)", show_default=False),
]
_Region = Annotated[str | None, typer.Option(help="default: what the stage or AWS_REGION says")]
_OPTIONS = {
    parameter.name: parameter
    for parameter in (
        _option("stack", _Stack, inspect.Parameter.empty),
        _option("state_folder", _StateFolder, UP_FOLDER),
        _option("region", _Region, None),
        _option("verbose", Verbose, default=False),
    )
}


orders_app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Say once which data is wanted, and have it ordered (docs/orders.md).",
)
app.add_typer(orders_app, name="orders")


def _command(
    name: str | None = None, *, of: typer.Typer = app
) -> Callable[[Callable[..., int]], Callable[..., int]]:
    """Add a command whose exit code is what its function returns."""

    def add(command: Callable[..., int]) -> Callable[..., int]:
        @wraps(command)
        def run(**given: object) -> None:
            _ended(lambda: command(**given))

        of.command(name)(run)
        return command

    return add


def _stack_command(
    name: str | None = None, *, of: typer.Typer = app
) -> Callable[[Callable[..., int]], Callable[..., int]]:
    """Add a command that asks a stack: it gets the options that name one.

    No stack is the default: nothing is done to a stack because its name was left out. The function
    is called with `stack`, its name, once boto3's clients are turned to it; and, if it takes them,
    with `state_folder` and with what was typed as `named`.
    """

    def add(command: Callable[..., int]) -> Callable[..., int]:
        mine = inspect.signature(command, eval_str=True).parameters
        own = [p for p in mine.values() if p.name not in {*_OPTIONS, "named"}]

        def run(**given: Any) -> None:  # noqa: ANN401 - typer has checked them by the signature below
            options = {name: given.pop(name) for name in _OPTIONS}
            offered = {"state_folder": options["state_folder"], "named": options["stack"]}
            passed = {name: value for name, value in offered.items() if name in mine}

            def enter_and_run() -> int:
                from cli import stack  # noqa: PLC0415 - see above

                entered = stack.enter(options["stack"], options["state_folder"], options["region"])
                if options["verbose"]:
                    stack.tell_calls()
                return command(stack=entered, **passed, **given)

            _ended(enter_and_run, options["stack"])

        parameters = [*own, *_OPTIONS.values()]
        run.__name__, run.__doc__ = command.__name__, command.__doc__
        run.__signature__ = inspect.Signature(  # type: ignore[attr-defined] # inspect's protocol
            [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in parameters]
        )
        run.__annotations__ = {p.name: p.annotation for p in parameters}  # typer reads these, too
        of.command(name)(run)
        return command

    return add


# --- look ---


@_stack_command()
def status(job: Job, *, stack: str, as_json: Json = False) -> int:
    """Say where a job is, why, and when it is tried next."""
    from cli.status import show_status  # noqa: PLC0415 - see above

    return show_status(stack, job, as_json=as_json)


@_stack_command()
def trace(job: Job, *, stack: str, named: str, state_folder: Path) -> int:
    """Tell the story of one job of the local run.

    What its log lines say, where it is now, and what each of its runs did for how long.
    """
    from cli.stack import LOCAL  # noqa: PLC0415 - loads boto3

    if named != LOCAL:
        raise typer.BadParameter(
            f"only --stack {LOCAL} keeps logs and traces here; for a deployed stack use the saved "
            "query 'what happened to one job' in CloudWatch (docs/operations.md)"
        )
    from cli.trace import show_trace  # noqa: PLC0415 - loads boto3

    return show_trace(stack, job, state_folder)


@_stack_command()
def audit(
    *,
    stack: str,
    write: Annotated[
        bool, typer.Option("--write-catalogue", help="add the entries that receipts lack")
    ] = False,
    rebuild: Annotated[
        bool,
        typer.Option("--rebuild", help="write the items that the table lacks, from the bucket"),
    ] = False,
    compact: Annotated[
        bool, typer.Option("--compact", help="put the entries of past months together")
    ] = False,
    month: Annotated[
        str | None, typer.Option(metavar="YYYY-MM", help="with --compact: this one alone")
    ] = None,
    delete_compacted: Annotated[
        bool,
        typer.Option("--delete-compacted", help="with --compact: delete what is proved to be in"),
    ] = False,
    as_json: Json = False,
) -> int:
    """Compare every receipt with the bucket.

    For the day before the vendor's copies are deleted. It changes nothing. One option at a time
    mends instead: table, or catalogue (docs/operations.md).
    """
    if write + rebuild + compact > 1:
        raise typer.BadParameter("--write-catalogue, --rebuild, --compact: one at a time")
    if not compact and (month is not None or delete_compacted):
        raise typer.BadParameter("--month and --delete-compacted belong to --compact")
    if write:
        from cli.write_catalogue import write_catalogue  # noqa: PLC0415 - see above

        return write_catalogue(stack, as_json=as_json)
    if rebuild:
        from cli.rebuild import rebuild as write_items  # noqa: PLC0415 - see above

        return write_items(stack, as_json=as_json)
    if compact:
        from cli.compact import compact as put_together  # noqa: PLC0415 - see above

        return put_together(stack, month, delete=delete_compacted, as_json=as_json)
    from cli.audit import show_audit  # noqa: PLC0415 - see above

    return show_audit(stack, as_json=as_json)


@_stack_command()
def report(
    *,
    stack: str,
    named: str,
    state_folder: Path,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="default: NAME-report.html here; of a local run in DIR"),
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", help="write it again whenever a local run does something")
    ] = False,
) -> int:
    """Write a page that says whether everything is archived.

    One HTML file, for a browser or a mail: nothing in it asks the network.
    """
    from cli.report.command import show_report  # noqa: PLC0415 - see above

    return show_report(stack, named, state_folder, out, follow=follow)


# --- act ---


@_stack_command()
def verify(
    job: Job,
    *,
    stack: str,
    deadline_seconds: Annotated[
        int, typer.Option(min=1, metavar="S", help="how long to wait for the job")
    ] = 300,
    as_json: Json = False,
) -> int:
    """Archive one job, and prove the deployment."""
    from cli.verify import verify as archive_and_prove  # noqa: PLC0415 - see above

    return archive_and_prove(stack, job, deadline_seconds=deadline_seconds, as_json=as_json)


@_stack_command()
def reconcile(
    *,
    stack: str,
    since: Annotated[
        str | None,
        typer.Option(metavar="DATE", help="default: as far back as the stack's LookBackDays"),
    ] = None,
    until: Annotated[
        str | None, typer.Option(metavar="DATE", help="its whole day is meant; default: now")
    ] = None,
    report_type: Annotated[
        list[str] | None,
        typer.Option(metavar="TYPE", help="floorplans, property or units; may be repeated"),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="say what would be queued, and queue nothing")
    ] = False,
    as_json: Json = False,
) -> int:
    """Queue completed jobs that nobody told of.

    It sweeps the vendor's list to the end of the window.
    """
    from cli.reconcile import reconcile as sweep  # noqa: PLC0415 - see above

    given = {"since": since, "until": until, "report_types": report_type or None}
    payload: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    return sweep(stack, {**payload, "dry_run": True} if dry_run else payload, as_json=as_json)


@_stack_command()
def dashboard(*, stack: str) -> int:
    """Put the dashboard into CloudWatch.

    docs/dashboard.json, under the stack's name.
    """
    from cli.dashboard import put_dashboard  # noqa: PLC0415 - see above

    return put_dashboard(stack)


@_stack_command("callback-url")
def callback_url(*, stack: str) -> int:
    """Print the callback_url to order jobs with.

    It holds a secret: standard output gets the URL and nothing else.
    """
    from cli.callback_url import show_callback_url  # noqa: PLC0415 - see above

    return show_callback_url(stack, rotate=False)


@_stack_command("rotate-callback-token")
def rotate_callback_token(*, stack: str) -> int:
    """Make a new callback token, and print the URL.

    The token before stays good until the next rotation.
    """
    from cli.callback_url import show_callback_url  # noqa: PLC0415 - see above

    return show_callback_url(stack, rotate=True)


# --- orders ---

OrdersYaml = Annotated[Path, typer.Argument(metavar="FILE", help="orders.yaml, docs/orders.md")]


def _now() -> datetime:
    return datetime.now(UTC)


@_command("check", of=orders_app)
def check_orders(
    file: OrdersYaml,
    *,
    dates: Annotated[bool, typer.Option("--dates", help="of every window")] = False,
    as_json: Json = False,
) -> int:
    """Judge a plan, and print the dates that would be sent.

    It asks nobody: no stack, no vendor.
    """
    from cli import orders  # noqa: PLC0415 - see above

    return orders.check(file, all_dates=dates, as_json=as_json, tell=_say, now=_now())


@_stack_command("plan", of=orders_app)
def plan_orders(file: OrdersYaml, *, stack: str, as_json: Json = False) -> int:
    """Say what would be ordered, until when, and what it costs in jobs.

    It changes nothing.
    """
    from cli import orders  # noqa: PLC0415 - see above

    return orders.plan(stack, file, as_json=as_json, tell=_say, now=_now())


@_stack_command("apply", of=orders_app)
def apply_orders(
    file: OrdersYaml,
    *,
    stack: str,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="do not ask before the change")] = False,
) -> int:
    """Put a plan in force, in place of the one before.

    What it orders and takes away is shown, and agreed to, before. Again, it changes nothing.
    """
    from cli import orders  # noqa: PLC0415 - see above

    return orders.apply(stack, file, yes=yes, tell=_say, ask=_asker(), now=_now())


@_stack_command("show", of=orders_app)
def show_orders(
    *,
    stack: str,
    version: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="an earlier plan; default: in force")
    ] = None,
    as_yaml: Annotated[bool, typer.Option("--yaml", help="print it as orders.yaml")] = False,
    as_json: Json = False,
) -> int:
    """Print the plan in force, how ordering stands, and the earlier plans."""
    from cli import orders  # noqa: PLC0415 - see above

    if as_yaml and as_json:
        raise typer.BadParameter("--yaml and --json: one at a time", param_hint="--yaml")
    return orders.show(
        stack, version=version, as_yaml=as_yaml, as_json=as_json, tell=_say, now=_now()
    )


@_stack_command("pause", of=orders_app)
def pause_orders(*, stack: str) -> int:
    """Order nothing more, until resume.

    What is on its way is archived as ever.
    """
    from cli import orders  # noqa: PLC0415 - see above

    return orders.pause(stack, tell=_say)


@_stack_command("resume", of=orders_app)
def resume_orders(
    *,
    stack: str,
    order: Annotated[
        str | None, typer.Option(metavar="NAME", help="only what of it was stopped or given up")
    ] = None,
) -> int:
    """Order again, and try again what was stopped or given up."""
    from cli import orders  # noqa: PLC0415 - see above

    return orders.resume(stack, order, tell=_say)


@_stack_command()
def coverage(
    *,
    stack: str,
    order: Annotated[str | None, typer.Option(metavar="NAME", help="only this order")] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="without jobs: the table is not read to its end")
    ] = False,
    as_json: Json = False,
) -> int:
    """Say which windows of each order are archived.

    A calendar each, the age of the oldest gap, and jobs by hand that overlap; 1 if any is missing.
    """
    from cli.coverage import show_coverage  # noqa: PLC0415 - see above

    return show_coverage(stack, order=order, quick=quick, as_json=as_json, now=_now())


# --- the lake ---


class PartitionsChoice(StrEnum):
    """How Athena learns of dates."""

    registered = "registered"
    injected = "injected"


class FormatChoice(StrEnum):
    """How exports are written."""

    csv = "csv"
    jsonl = "jsonl"
    parquet = "parquet"


@_command("athena-ddl")
def athena_ddl(  # noqa: PLR0913 - a table has so many properties
    *,
    bucket: Annotated[str, typer.Option(help="the stack's output ArchiveBucketName")],
    database: Annotated[str, typer.Option(help="of Athena")] = "apartmentiq",
    key_prefix: Annotated[str, typer.Option(help="the stack's KeyPrefix")] = "",
    key_template: Annotated[
        str | None, typer.Option(help="the stack's KeyTemplate; default: the template's")
    ] = None,
    partitions: Annotated[
        PartitionsChoice, typer.Option(help="see docs/athena.md")
    ] = PartitionsChoice.registered,
    source: Annotated[
        Path | None,
        typer.Option("--from", help="a copy of the archive, or one export: its columns are read"),
    ] = None,
    columns: Annotated[
        str | None, typer.Option(help='in place of --from: "date date, rent decimal(8,2)"')
    ] = None,
    samples: Annotated[
        bool, typer.Option("--samples", help="in place of --from: plausible columns")
    ] = False,
    report_type: Annotated[str | None, typer.Option(help="of one export, or of --columns")] = None,
    export_format: Annotated[
        FormatChoice | None, typer.Option("--format", help="of one export, or of --columns")
    ] = None,
) -> int:
    """Print the archive's tables for Athena.

    Whoever owns the database runs what it prints.
    """
    from cli.athena import Source, show_ddl  # noqa: PLC0415 - see above
    from cli.athena_ddl import DEFAULT_KEY_TEMPLATE, Lake  # noqa: PLC0415 - see above

    lake = Lake(bucket, database, key_prefix, key_template or DEFAULT_KEY_TEMPLATE)
    told = Source(source, columns, samples, report_type, export_format and export_format.value)
    return show_ddl(lake, told, partitions.value)


# --- deploy ---


def _known_stages() -> list[str]:
    from cli.stages import known_stages  # noqa: PLC0415 - loads tomlkit

    return known_stages()


Stage = Annotated[
    str,
    typer.Argument(help="a section of samconfig.toml: dev, prod", autocompletion=_known_stages),
]
Confirm = Annotated[str, typer.Option(metavar="STACK", help="its name, where nobody can be asked")]


@_command()
def deploy(  # noqa: PLR0913 - the four questions, and what else may be said
    stage: Stage,
    *,
    region: Annotated[str | None, typer.Option(help="of a first deploy")] = None,
    alarm_email: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="who is told of alarms; '' is nobody")
    ] = None,
    alarm_topic: Annotated[
        str | None, typer.Option(metavar="ARN", help="an SNS topic for the alarms")
    ] = None,
    callbacks: Annotated[
        bool | None,
        typer.Option("--callbacks/--no-callbacks", help="a URL that ApartmentIQ calls"),
    ] = None,
    bucket: Annotated[
        str | None, typer.Option(metavar="NAME", help="an existing one; '' makes a new one")
    ] = None,
    sets: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="NAME=VALUE", help="set a parameter for good; may be repeated"
        ),
    ] = None,
    unsets: Annotated[
        list[str] | None,
        typer.Option("--unset", metavar="NAME", help="back to the template's default"),
    ] = None,
    tags: Annotated[
        list[str] | None,
        typer.Option("--tag", metavar="KEY=VALUE", help="tag all resources; KEY= takes it off"),
    ] = None,
    show: Annotated[
        bool, typer.Option("--show", help="list what differs from the defaults; change nothing")
    ] = False,
    previous: Annotated[
        bool, typer.Option("--previous", help="go back to what the last deploy replaced")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="do not ask before the change")] = False,
    confirm: Confirm = "",
    as_json: Annotated[bool, typer.Option("--json", help="with --show: print JSON")] = False,
    verbose: Verbose = False,
) -> int:
    """Deploy a stage's stack, or change it.

    A first deploy asks four things. Everything else keeps the template's default until --set.
    What will change is shown, and agreed to, before it does.
    """
    from cli import deploy as deploying  # noqa: PLC0415 - see above

    if as_json and not show:
        raise typer.BadParameter("a program reads --show", param_hint="--json")
    wishes = deploying.Wishes(
        region=region,
        alarm_email=alarm_email,
        alarm_topic=alarm_topic,
        callbacks=callbacks,
        bucket=bucket,
        sets=_pairs(sets, "--set"),
        unsets=unsets or [],
        tags=_pairs(tags, "--tag"),
    )
    if show:
        return deploying.show(stage, as_json=as_json, tell=_say)
    return deploying.deploy(
        stage,
        wishes,
        deploying.Person(_say, _asker(), yes=yes, confirm=confirm),
        back=previous,
        verbose=verbose,
    )


@_command()
def delete(
    stage: Stage,
    *,
    region: Annotated[str | None, typer.Option(help="default: the stage's")] = None,
    confirm: Confirm = "",
    verbose: Verbose = False,
) -> int:
    """Delete a stage's stack; its data stays.

    Bucket, table and the vendor's credentials stay.
    """
    from cli.delete import delete as delete_stage  # noqa: PLC0415 - see above

    return delete_stage(
        stage, confirm=confirm, ask=_asker(), tell=_say, region=region, verbose=verbose
    )


def _pairs(given: Sequence[str] | None, option: str) -> dict[str, str]:
    """Read NAME=VALUE words; a value may be empty, and may hold what it likes."""
    pairs = {}
    for word in given or []:
        name, found, value = word.partition("=")
        if not (name and found):
            raise typer.BadParameter(f"{word!r} is not NAME=VALUE", param_hint=option)
        pairs[name] = value
    return pairs


def _asker() -> Callable[[str], str] | None:
    """Return what asks a person, or None where there is none."""
    return input if sys.stdin is not None and sys.stdin.isatty() else None


def _say(line: str) -> None:
    print(line, flush=True)


# --- on this machine ---


def _assignment(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise typer.BadParameter(f"{text!r} is not of the form Name=Value")
    return name, value


@_command()
def local(  # noqa: PLR0913 - what a run can be asked for
    *,
    parameter: Annotated[
        list[Any] | None,
        typer.Option(
            parser=_assignment,
            metavar="NAME=VALUE",
            help="a parameter of template.yaml; may be repeated",
        ),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="say no outcomes")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="one JSON object a line, and nothing else")
    ] = False,
    port: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="listen on N to N+3; default: ports that are free"),
    ] = None,
    region: str = "us-east-1",
    s3_endpoint: Annotated[
        str | None, typer.Option(metavar="URL", help="archive to another S3 server")
    ] = None,
    s3_access_key_id: Annotated[str | None, typer.Option(metavar="ID")] = None,
    s3_secret_access_key: Annotated[str | None, typer.Option(metavar="SECRET")] = None,
    api_base_url: Annotated[
        str | None, typer.Option(metavar="URL", help="another vendor, such as the real one")
    ] = None,
    token_url: Annotated[str | None, typer.Option(metavar="URL", help="of that vendor")] = None,
    trusted_link_host: Annotated[
        list[str] | None,
        typer.Option(
            metavar="HOST",
            help="beside S3's own hosts; .suffix or exact; 443 without :port; may be repeated",
        ),
    ] = None,
    lose_callbacks: Annotated[
        float,
        typer.Option(min=0, max=1, metavar="P", help="the stand-in's share of lost callbacks"),
    ] = 0.0,
    complete_after: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="S", help="jobs complete S seconds after they were ordered [default: 5]"
        ),
    ] = None,
    template: Annotated[
        Path | None, typer.Option(metavar="FILE", help="default: template.yaml")
    ] = None,
    build_folder: Annotated[
        Path | None, typer.Option(metavar="DIR", help="default: .aws-sam/local")
    ] = None,
    state_folder: Annotated[
        Path | None, typer.Option(metavar="DIR", help="default: .local/up")
    ] = None,
    ca_bundle: Annotated[
        Path | None, typer.Option(metavar="PEM", help="authorities to trust beside the local one")
    ] = None,
) -> int:
    """Keep the stack up on this machine.

    For people and their tools, until Ctrl-C: template.yaml on an AWS that is embedded in this
    process, with a stand-in for ApartmentIQ. It prints where everything is and what to try.
    """
    if quiet and as_json:
        raise typer.BadParameter("--quiet and --json: a program that hears nothing needs neither")
    leave_the_person_out()
    from local.up import UpSettings, run_up  # noqa: PLC0415 - loads moto and boto3

    folders = {"template": template, "build_folder": build_folder, "state_folder": state_folder}
    return run_up(
        UpSettings(
            **{name: path for name, path in folders.items() if path is not None},
            region=region,
            parameters=dict(parameter or ()),
            s3_endpoint=s3_endpoint,
            s3_access_key_id=s3_access_key_id,
            s3_secret_access_key=s3_secret_access_key,
            api_base_url=api_base_url,
            token_url=token_url,
            trusted_link_hosts=tuple(trusted_link_host or ()),
            ca_bundle=ca_bundle,
            lose_callbacks=lose_callbacks,
            complete_after_seconds=complete_after,
            port=port,
            quiet=quiet,
            as_json=as_json,
            report_command=(
                *(sys.executable, "-P", "-m", "cli", "report"),
                *("--stack", "local", "--follow"),
            ),
        )
    )


@_command()
def demo(
    *,
    size_mib: Annotated[
        int, typer.Option(min=1, metavar="MIB", help="of the largest export")
    ] = 256,
) -> int:
    """Archive a few exports on this machine."""
    from local.demo_screen import Phases, make_console  # noqa: PLC0415 - as above

    leave_the_person_out()
    with Phases(make_console()).phase("start", "the embedded cloud's libraries"):
        from cli.demo_coverage import tell_coverage  # noqa: PLC0415 - as below
        from local.demo import run_demo  # noqa: PLC0415 - a second of imports, in a phase

    return run_demo(size_mib, tell_coverage)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the process's exit code."""
    speak_plainly()
    _honour_region()
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        app(args=arguments, prog_name="archiver")
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else 0
    finally:
        signal.signal(signal.SIGTERM, before)
    return 0


def _honour_region() -> None:
    """Let AWS_REGION count, as it does for AWS's other tools, and before AWS_DEFAULT_REGION.

    boto3 reads the second alone (botocore.configprovider, BOTOCORE_DEFAUT_SESSION_VARIABLES).
    """
    if region := os.environ.get("AWS_REGION"):
        os.environ["AWS_DEFAULT_REGION"] = region


def run_as_script() -> NoReturn:
    """Run as the script `archiver`."""
    sys.exit(main())


def _ended(command: Callable[[], int], stack: str = "") -> NoReturn:
    """Run a command and end with its exit code, or with a sentence that says why it cannot be."""
    from cli.failure import ASKED_IN_VAIN, INTERRUPTED, NO, Failure, explain  # noqa: PLC0415 - botocore

    try:
        code = command()
    except ASKED_IN_VAIN as error:
        code = _told(explain(error, stack=stack))
    except Failure as failure:
        code = _told(failure)
    except NoRoomError as error:
        code = _told(Failure(str(error), NO))
    except OSError as error:  # a full disk, a folder that cannot be written
        if (sentence := sentence_of(error)) is None:
            raise
        code = _told(Failure(sentence, NO))
    except (KeyboardInterrupt, EOFError):  # Ctrl-C, or Ctrl-D in answer to a question
        print("\nstopped", file=sys.stderr)
        code = INTERRUPTED
    raise typer.Exit(code)


def _told(failure: Failure) -> int:
    print(f"archiver: {failure}", file=sys.stderr)
    return failure.code


def _interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    """Make SIGTERM end the run as Ctrl-C does, through every `finally`."""
    raise KeyboardInterrupt
