"""`python -m local`: the stack on this machine, for people (`up`) and for a show (`demo`).

It only reads arguments and prints; local/cloud.py does the work.
"""

from __future__ import annotations

import argparse
import shlex
import signal
import sys
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, NoReturn

from local.surroundings import NoRoomError, leave_the_person_out, sentence_of, speak_plainly

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType

    from local.cloud import LocalCloud
    from local.loader import ExampleLoader

__all__ = ["main"]

_USAGE_ERROR = 2
_INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one subcommand; returns the process's exit code, 2 for input that cannot be."""
    speak_plainly()
    given = list(sys.argv[1:] if arguments is None else arguments)
    if not given or (given[0].startswith("-") and given[0] not in {"-h", "--help"}):
        given.insert(0, "up")  # options alone mean the stack that people keep up
    parsed = _build_parser().parse_args(given)
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        code: int = parsed.run(parsed)
    except NoRoomError as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:
        if (sentence := sentence_of(error)) is None:
            raise
        print(sentence, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nstopped; nothing is left running", file=sys.stderr)
        return _INTERRUPTED
    finally:
        signal.signal(signal.SIGTERM, before)
    return code


def _interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    """Make SIGTERM end the run as Ctrl-C does, through every `finally`."""
    raise KeyboardInterrupt


def _build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m local",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,  # the epilog is laid out already
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    up = commands.add_parser(
        "up",
        help="keep the stack up until Ctrl-C",
        description="Deploy template.yaml into an AWS embedded in this process and keep it up.",
    )
    _add_cloud_options(up)
    up.set_defaults(run=_run_up)
    demo = commands.add_parser("demo", help="archive a few exports and show what happened")
    demo.add_argument(
        "--size-mib",
        type=_positive,
        default=256,
        metavar="MIB",
        help="size of the largest export (default: 256)",
    )
    demo.set_defaults(run=_run_demo)
    parser.epilog = f"Without COMMAND, `up` is meant.\n\n{up.format_help()}"
    return parser


def _add_cloud_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--region", default="us-east-1", help="default: us-east-1")
    parser.add_argument(
        "--parameter",
        action="append",
        default=[],
        type=_assignment,
        metavar="NAME=VALUE",
        help="a parameter of template.yaml; may be given several times",
    )
    store = parser.add_argument_group("another S3 server to archive to")
    store.add_argument("--s3-endpoint", metavar="URL")
    store.add_argument("--s3-access-key-id", metavar="ID")
    store.add_argument("--s3-secret-access-key", metavar="SECRET")
    vendor = parser.add_argument_group("another vendor, for example the real one")
    vendor.add_argument("--api-base-url", metavar="URL")
    vendor.add_argument("--token-url", metavar="URL")
    vendor.add_argument(
        "--trusted-link-host",
        action="append",
        default=[],
        metavar="HOST",
        help="beside S3's own hosts; .suffix or exact, :port optional; may be repeated",
    )
    standin = parser.add_argument_group("the stand-in for the vendor")
    standin.add_argument(
        "--lose-callbacks",
        type=_probability,
        default=0.0,
        metavar="P",
        help="the share of callbacks that never arrive, 0 to 1 (default: 0)",
    )
    standin.add_argument(
        "--complete-after",
        type=_positive,
        metavar="S",
        help="let jobs that are ordered at the stand-in complete after so many seconds",
    )
    folders = parser.add_argument_group("other folders, for a second stack beside the first")
    folders.add_argument("--template", type=Path, metavar="FILE", help="default: template.yaml")
    folders.add_argument("--build-folder", type=Path, metavar="DIR", help="default: .aws-sam/local")
    folders.add_argument("--state-folder", type=Path, metavar="DIR", help="default: .local")
    parser.add_argument(
        "--ca-bundle", type=Path, metavar="PEM", help="authorities to trust beside the local one"
    )


def _positive(text: str) -> int:
    number = int(text) if text.isdecimal() else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above zero")
    return number


def _probability(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 to 1")
    return number


def _assignment(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form Name=Value")
    return name, value


def _run_demo(arguments: argparse.Namespace) -> int:
    from local.demo_screen import Phases, make_console  # noqa: PLC0415 - as below

    leave_the_person_out()
    with Phases(make_console()).phase("start", "the embedded cloud's libraries"):
        from local.demo import run_demo  # noqa: PLC0415 - `up` and --help need not load it

    return run_demo(arguments)


def _run_up(arguments: argparse.Namespace) -> int:
    leave_the_person_out()
    # moto and boto3 take a second to load; --help and a wrong option need not wait for them
    from local.aws.expansion import ParameterError  # noqa: PLC0415 - see above
    from local.aws.runtime_installation import InstallationError  # noqa: PLC0415 - see above
    from local.aws.stack import StackError  # noqa: PLC0415 - see above
    from local.cloud import CloudError, LocalCloud  # noqa: PLC0415 - see above
    from local.loader import ExampleLoader  # noqa: PLC0415 - see above

    folders = {
        name: path
        for name, path in (
            ("template_path", arguments.template),
            ("build_folder", arguments.build_folder),
            ("state_folder", arguments.state_folder),
        )
        if path is not None
    }
    try:
        cloud = LocalCloud(
            **folders,
            region=arguments.region,
            parameters=dict(arguments.parameter),
            s3_endpoint=arguments.s3_endpoint,
            access_key_id=arguments.s3_access_key_id,
            secret_access_key=arguments.s3_secret_access_key,
            api_base_url=arguments.api_base_url,
            token_url=arguments.token_url,
            trusted_link_hosts=arguments.trusted_link_host,
            ca_bundle=arguments.ca_bundle,
            lose_callbacks=arguments.lose_callbacks,
            complete_after_seconds=arguments.complete_after,
        )
        with cloud:
            sample = _add_sample_job(cloud, arguments.complete_after)
            _describe(cloud, sample, ExampleLoader.subscribe(cloud))
            _wait_for_signal()
    except (CloudError, ParameterError, StackError, InstallationError) as error:
        print(f"local up: {error}", file=sys.stderr)
        return _USAGE_ERROR
    return 0


def _wait_for_signal() -> None:
    """Wait for Ctrl-C or SIGTERM, then end the run.

    The handlers only set a flag: an exception raised in one is lost when Python happens to be in a
    finaliser. The wait is timed, so that a signal that another thread took is seen, too.
    """
    stop = Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    while not stop.wait(timeout=0.5):
        pass
    raise KeyboardInterrupt


def _add_sample_job(cloud: LocalCloud, complete_after_seconds: float | None) -> str:
    """Give the stand-in a job, so that the printed commands archive something."""
    if cloud.vendor is None:
        return "<uuid>"
    content = b"unit_id,bedrooms,rent\n101,1,1450\n102,2,1925\n"
    job = cloud.vendor.add_job(content, completes_after_seconds=complete_after_seconds)
    return job.job_id


def _describe(cloud: LocalCloud, job_id: str, loader: ExampleLoader) -> None:
    """Print where everything is, and commands that work as they stand."""
    s3 = cloud.s3_endpoint
    aws = f'aws --endpoint-url "{cloud.aws.url}"'
    lines = [
        "The stack is up. Ctrl-C ends it and leaves nothing running.",
        "",
        f"  AWS API           {cloud.aws.url} (region {cloud.region})",
        f"  S3                {s3.url}",
        f"  queue             {cloud.queue_url}",
        f"  dead letters      {cloud.dead_letter_queue_url}",
        f"  archive bucket    {cloud.bucket}",
        f"  event bus         {cloud.event_bus}",
        f"  table             {cloud.table}",
        f"  vendor's API      {cloud.vendor_urls[0]}",
        f"  vendor's tokens   {cloud.vendor_urls[1]}",
        f"  callback URL      {cloud.callback_url or 'none: ReceiveCallbacks=false'}",
        f"  archived files    {cloud.archive_path}",
        f"  functions' logs   {cloud.logs_path}",
        f"  all of this       {cloud.endpoints_path}",
        "",
        "In another terminal:",
        "",
        f"  export AWS_CA_BUNDLE='{cloud.ca_bundle}' AWS_DEFAULT_REGION={cloud.region}",
        "  export AWS_ACCESS_KEY_ID=LOCALPEOPLE AWS_SECRET_ACCESS_KEY=local",
        f"  {aws} sqs send-message --queue-url '{cloud.queue_url}' \\",
        f"""    --message-body '{{"job_id": "{job_id}"}}'""",
        *_describe_sweep(cloud, aws),
        f"  {aws} s3 ls --recursive 's3://{cloud.bucket}'",
        f"  {aws} sqs receive-message --queue-url '{cloud.dead_letter_queue_url}' \\",
        "    --message-attribute-names All",
        "",
        "An example consumer, subscribed to the bus, loads what was archived (docs/events.md):",
        "",
        f"  AWS_CONFIG_FILE='{loader.aws_config}' {shlex.join([sys.executable, *loader.command])}",
        "",
        *_describe_credentials(cloud, aws),
    ]
    print("\n".join(lines), flush=True)


def _describe_sweep(cloud: LocalCloud, aws: str) -> list[str]:
    if cloud.sweep_function is None:
        return []
    return [
        f"""  printf '%s' '{{"dry_run": true}}' | {aws} lambda invoke \\""",
        f"    --function-name '{cloud.sweep_function}' --payload fileb:///dev/stdin /dev/stdout",
    ]


def _describe_credentials(cloud: LocalCloud, aws: str) -> list[str]:
    if cloud.vendor:
        return []
    return [
        "Jobs wait until the vendor's credentials are filled in:",
        "",
        f"  {aws} secretsmanager put-secret-value --secret-id '{cloud.credentials_secret}' \\",
        """    --secret-string '{"client_id": "…", "client_secret": "…"}'""",
        "",
    ]


if __name__ == "__main__":
    sys.exit(main())
