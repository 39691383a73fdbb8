"""`python -m local`: the stack on this machine, for people (`up`) and for a show (`demo`).

It only reads arguments and prints; local/cloud.py does the work.
"""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from local.surroundings import NoRoomError, leave_the_person_out, sentence_of, speak_plainly

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType


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
        help="beside S3's own hosts; .suffix or exact; 443 without :port; may be repeated",
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
        help="jobs complete so many seconds after they were ordered (default: 5)",
    )
    folders = parser.add_argument_group("other folders, for a second stack beside the first")
    folders.add_argument("--template", type=Path, metavar="FILE", help="default: template.yaml")
    folders.add_argument("--build-folder", type=Path, metavar="DIR", help="default: .aws-sam/local")
    folders.add_argument("--state-folder", type=Path, metavar="DIR", help="default: .local/up")
    parser.add_argument(
        "--port",
        type=_positive,
        metavar="N",
        help="listen on N to N+3, the same each time (default: on ports that are free)",
    )
    says = parser.add_mutually_exclusive_group()
    says.add_argument("--quiet", action="store_true", help="say no outcomes")
    says.add_argument("--json", action="store_true", help="one JSON object a line, nothing else")
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
    from local.up import UpSettings, run_up  # noqa: PLC0415 - see above

    folders = {
        name: path
        for name, path in (
            ("template", arguments.template),
            ("build_folder", arguments.build_folder),
            ("state_folder", arguments.state_folder),
        )
        if path is not None
    }
    return run_up(
        UpSettings(
            **folders,
            region=arguments.region,
            parameters=dict(arguments.parameter),
            s3_endpoint=arguments.s3_endpoint,
            s3_access_key_id=arguments.s3_access_key_id,
            s3_secret_access_key=arguments.s3_secret_access_key,
            api_base_url=arguments.api_base_url,
            token_url=arguments.token_url,
            trusted_link_hosts=tuple(arguments.trusted_link_host),
            ca_bundle=arguments.ca_bundle,
            lose_callbacks=arguments.lose_callbacks,
            complete_after_seconds=arguments.complete_after,
            port=arguments.port,
            quiet=arguments.quiet,
            as_json=arguments.json,
        )
    )


if __name__ == "__main__":
    sys.exit(main())
