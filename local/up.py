"""`make local`: the stack on this machine, for people and their tools, until Ctrl-C.

It says where everything is, what to try, and then each outcome as it happens (speaker.py). It takes
plain values and returns an exit code; whoever reads options is elsewhere.
"""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, NoReturn

from local.aws.expansion import ParameterError
from local.aws.runtime_installation import InstallationError
from local.aws.stack import StackError
from local.cloud import PROJECT_FOLDER, CloudError, LocalCloud
from local.loader import ExampleLoader
from local.ports import PortError, Ports
from local.speaker import Said, Speaker, attach
from local.state_folder import UP_FOLDER, StateFolderError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from types import FrameType

__all__ = ["UpSettings", "run_up"]

_CANNOT_START = 2
_PATIENCE_SECONDS = 10  # with what keeps the page: it is in the middle of a page at worst
_INTERRUPTED = 130  # 128 + SIGINT, as a shell tells it
_ORDERS_COMPLETE_AFTER_SECONDS = 5  # time enough to see one wait, and to ask for its status
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_SAMPLE = b"unit_id,bedrooms,rent\n101,1,1450\n102,2,1925\n"
_NO_PORT_LOOPBACK = frozenset({"localhost", "127.0.0.1"})


@dataclass(frozen=True, slots=True)
class UpSettings:
    """What a run can be asked for; the defaults are those of `make local`.

    `complete_after_seconds` is when jobs end at the stand-in; without it the sample job has ended
    already. `port` is the first of four in a row.
    """

    region: str = "us-east-1"
    parameters: Mapping[str, str] = field(default_factory=dict)
    s3_endpoint: str | None = None
    s3_access_key_id: str | None = None
    s3_secret_access_key: str | None = field(default=None, repr=False)
    api_base_url: str | None = None
    token_url: str | None = None
    trusted_link_hosts: tuple[str, ...] = ()
    lose_callbacks: float = 0.0
    complete_after_seconds: int | None = None
    template: Path = PROJECT_FOLDER / "template.yaml"
    build_folder: Path = PROJECT_FOLDER / ".aws-sam" / "local"
    state_folder: Path = UP_FOLDER
    ca_bundle: Path | None = None
    port: int | None = None
    quiet: bool = False
    as_json: bool = False
    report_command: tuple[str, ...] = ()  # keeps the page of `archiver report` up to date


def run_up(settings: UpSettings) -> int:
    """Keep the stack up until Ctrl-C or SIGTERM (130); return 2 if it cannot start as asked.

    With `as_json` nothing but one object a line is written to stdout.
    """
    try:
        with _restored_signals():
            _keep_up(settings)
    except (
        *(CloudError, ParameterError, PortError),
        *(StackError, StateFolderError, InstallationError),
    ) as error:
        print(f"local up: {error}", file=sys.stderr)
        return _CANNOT_START
    except KeyboardInterrupt:  # while it started
        pass
    print("\nstopped; nothing is left running", file=sys.stderr)
    return _INTERRUPTED


def _keep_up(settings: UpSettings) -> None:
    stop = Event()
    speaker = Speaker(sys.stdout, as_json=settings.as_json, on_deaf=stop.set)
    ports = None if settings.port is None else Ports.beginning_at(settings.port)
    with ExitStack() as exit_stack:
        cloud = exit_stack.enter_context(_cloud(settings, ports))
        loader = ExampleLoader.subscribe(cloud)
        environment = _write_environment(cloud)
        for path in (environment, loader.aws_config):  # they hold keys, perhaps of a real store
            exit_stack.callback(path.unlink, missing_ok=True)
        report = _keep_report(settings, cloud, exit_stack)
        notes = [*cloud.notes, *_notes_on_hosts(settings.trusted_link_hosts)]
        if not settings.quiet:
            exit_stack.callback(attach(cloud, speaker).stop)
        job_id = _add_sample_job(cloud, settings.complete_after_seconds)
        if settings.as_json:
            where = {
                "stack": cloud.stack.name,
                "endpoints": str(cloud.endpoints_path.resolve()),
                "sample_job_id": job_id,
                "report": None if report is None else str(report),
            }
            speaker.introduce(
                Said("up", "up", None, "", where),
                *(Said("note", "note", None, note, {"text": note}) for note in notes),
            )
        else:
            about = _About(cloud, settings, environment, loader, job_id, report)
            speaker.introduce("\n".join(about.lines(notes)))
        speaker.begin()
        _wait(stop)


def _keep_report(settings: UpSettings, cloud: LocalCloud, exit_stack: ExitStack) -> Path | None:
    """Start what keeps the page; it sees the run from outside, and ends with it."""
    if not settings.report_command:
        return None
    path = cloud.state_folder.resolve() / "report.html"
    errors = exit_stack.enter_context((cloud.logs_path / "report.err").open("wb"))
    process = subprocess.Popen(
        [*settings.report_command, "--state-folder", str(cloud.state_folder), "--out", str(path)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=errors,
        start_new_session=True,  # Ctrl-C is this process's: it ends the other one
    )
    exit_stack.callback(_end, process)
    return path


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_PATIENCE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _cloud(settings: UpSettings, ports: Ports | None) -> LocalCloud:
    return LocalCloud(
        template_path=settings.template,
        build_folder=settings.build_folder,
        state_folder=settings.state_folder,
        ports=ports,
        region=settings.region,
        parameters=settings.parameters,
        s3_endpoint=settings.s3_endpoint,
        access_key_id=settings.s3_access_key_id,
        secret_access_key=settings.s3_secret_access_key,
        api_base_url=settings.api_base_url,
        token_url=settings.token_url,
        trusted_link_hosts=settings.trusted_link_hosts,
        ca_bundle=settings.ca_bundle,
        lose_callbacks=settings.lose_callbacks,
        complete_after_seconds=_orders_complete_after(settings),
    )


def _orders_complete_after(settings: UpSettings) -> int:
    return settings.complete_after_seconds or _ORDERS_COMPLETE_AFTER_SECONDS


@contextmanager
def _restored_signals() -> Iterator[None]:
    """Let SIGTERM end the start as Ctrl-C does; afterwards both mean what they meant before."""

    def interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
        raise KeyboardInterrupt

    before = [signal.getsignal(number) for number in _SIGNALS]
    signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        for number, handler in zip(_SIGNALS, before, strict=True):
            signal.signal(number, handler)


def _wait(stop: Event) -> None:
    """Wait for Ctrl-C, SIGTERM, or for nobody to listen any more.

    The handlers only set a flag: an exception raised in one is lost when Python happens to be in a
    finaliser. The wait is timed, so that a signal that another thread took is seen, too.
    """
    for number in _SIGNALS:
        signal.signal(number, lambda *_: stop.set())
    while not stop.wait(timeout=0.5):
        pass


def _add_sample_job(cloud: LocalCloud, complete_after_seconds: float | None) -> str | None:
    """Give the stand-in a job, so that the printed commands archive something."""
    if cloud.vendor is None:
        return None
    return cloud.vendor.add_job(_SAMPLE, completes_after_seconds=complete_after_seconds).job_id


def _notes_on_hosts(hosts: tuple[str, ...]) -> Iterator[str]:
    for host in hosts:
        if host in _NO_PORT_LOOPBACK or host.endswith(".localhost"):
            yield (
                f"--trusted-link-host {host} means port 443 of this machine, as any host without a "
                f"port does; for another one: {host}:PORT"
            )


def _write_environment(cloud: LocalCloud) -> Path:
    """Write what a shell must have for AWS tools to find the run; its owner alone may read it."""
    s3 = cloud.s3_endpoint
    values = {
        "AWS_ENDPOINT_URL": cloud.aws.url,
        "AWS_ENDPOINT_URL_S3": s3.url,
        "AWS_CA_BUNDLE": str(cloud.ca_bundle),
        "AWS_REGION": cloud.region,
        "AWS_DEFAULT_REGION": cloud.region,
        "AWS_ACCESS_KEY_ID": s3.credentials.access_key_id,  # moto takes any
        "AWS_SECRET_ACCESS_KEY": s3.credentials.secret_access_key,
    }
    lines = [f"export {name}={shlex.quote(value)}" for name, value in values.items()]
    lines += [
        "unset AWS_PROFILE AWS_DEFAULT_PROFILE AWS_SESSION_TOKEN",
        # a proxy must not stand between this machine and itself; the first one wins where both are
        'export no_proxy="localhost,127.0.0.1,${no_proxy:-${NO_PROXY:-}}"',
        'export NO_PROXY="$no_proxy"',
    ]
    path = cloud.state_folder / "env"
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path.resolve()


@dataclass(frozen=True, slots=True)
class _About:
    """What is said once the stack is up: where everything is, and commands that work as printed."""

    cloud: LocalCloud
    settings: UpSettings
    environment: Path
    loader: ExampleLoader
    job_id: str | None
    report: Path | None

    def lines(self, notes: Sequence[str]) -> Iterator[str]:
        """Yield it line by line, with what people could not expect near the end."""
        cloud = self.cloud
        yield "The stack is up. Ctrl-C ends it and leaves nothing running."
        yield ""
        yield f"  AWS API         {cloud.aws.url} (region {cloud.region})"
        yield f"  S3              {cloud.s3_endpoint.url}"
        yield f"  archive bucket  {cloud.bucket}"
        yield f"  queue           {cloud.queue_url}"
        yield f"  dead letters    {cloud.dead_letter_queue_url}"
        yield f"  event bus       {cloud.event_bus}"
        yield f"  table           {cloud.table}"
        yield f"  vendor's API    {cloud.vendor_urls[0]}"
        yield f"  vendor's tokens {cloud.vendor_urls[1]}"
        yield f"  callback URL    {cloud.callback_url or 'none: ReceiveCallbacks=false'}"
        yield f"  archived files  {cloud.archive_path}"
        yield f"  functions' logs {cloud.logs_path}"
        yield f"  all of this     {cloud.endpoints_path}"
        if self.report:
            yield f"  the report      {self.report} (open it, and reload it)"
        yield ""
        yield from self._order() if cloud.vendor else self._fill_credentials()
        yield from self._send()
        yield from self._ask()
        yield "An example consumer, subscribed to the bus, loads what is archived (docs/events.md):"
        yield ""
        config = shlex.quote(str(self.loader.aws_config))
        yield f"  AWS_CONFIG_FILE={config} {shlex.join([sys.executable, *self.loader.command])}"
        yield ""
        for note in notes:
            yield f"NOTE: {note}"
            yield ""
        if not self.settings.quiet:
            yield "From here on, a line for each outcome (--quiet: none; --json: objects):"
            yield ""

    def _order(self) -> Iterator[str]:
        """Order an export as a company's system would, in a shell that knows nothing of the run."""
        cloud = self.cloud
        assert cloud.vendor is not None  # noqa: S101 - the caller has looked
        api_base_url, token_url = map(shlex.quote, cloud.vendor_urls)
        order: dict[str, object] = {
            "report_type": "units",
            "output_format": "csv",
            "property_ids": [99001416],
            "start_date": "2025-01-01",
            "end_date": "2025-01-31",
        }
        if cloud.callback_url:
            order["callback_url"] = cloud.callback_url
        curl = f"curl -sSf --noproxy localhost --cacert {shlex.quote(str(cloud.ca_bundle))}"
        seconds = _orders_complete_after(self.settings)
        then = "calls back" if cloud.callback_url else "waits to be asked: send its job_id"
        yield f"Order an export at the stand-in; it completes after {seconds} s and {then}:"
        yield ""
        yield f"  TOKEN=$({curl} \\"
        yield f"    {token_url} \\"
        yield "    -d grant_type=client_credentials \\"
        yield f"    -d client_id={shlex.quote(cloud.vendor.client_id)} \\"
        yield f"    -d client_secret={shlex.quote(cloud.vendor.client_secret)} \\"
        yield """    | sed 's/.*"access_token": *"\\([^"]*\\)".*/\\1/')"""
        yield f"  {curl} \\"
        yield f"    {api_base_url}/bulk_api/jobs \\"
        yield """    -H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/json' \\"""
        yield f"    -d {shlex.quote(json.dumps(order))}"
        yield ""

    def _fill_credentials(self) -> Iterator[str]:
        yield "Jobs wait until the vendor's credentials are filled in:"
        yield ""
        yield f"  . {shlex.quote(str(self.environment))}"
        yield '  aws --endpoint-url "$AWS_ENDPOINT_URL" secretsmanager put-secret-value \\'
        yield f"    --secret-id {shlex.quote(self.cloud.credentials_secret)} \\"
        yield """    --secret-string '{"client_id": "…", "client_secret": "…"}'"""
        yield ""

    def _send(self) -> Iterator[str]:
        cloud = self.cloud
        queue, letters = map(shlex.quote, (cloud.queue_url, cloud.dead_letter_queue_url))
        body = shlex.quote(json.dumps({"job_id": self.job_id or "<uuid>"}))
        aws = 'aws --endpoint-url "$AWS_ENDPOINT_URL"'
        yield "Send a job that has completed, and look, with any AWS CLI:"
        yield ""
        yield f"  . {shlex.quote(str(self.environment))}"
        yield f"  {aws} sqs send-message \\"
        yield f"    --queue-url {queue} \\"
        yield f"    --message-body {body}"
        yield f"""  {aws[:-1]}_S3" s3 ls --recursive {shlex.quote(f"s3://{cloud.bucket}")}"""
        yield f"  {aws} sqs receive-message --message-attribute-names All \\"
        yield f"    --queue-url {letters}"
        yield ""

    def _ask(self) -> Iterator[str]:
        """Yield commands of the command line that people use on any stack."""
        archiver = shlex.quote(_shown(Path(sys.executable).with_name("archiver")))
        job = self.job_id or "JOB"
        stack = "--stack local"
        if self.settings.state_folder.resolve() != UP_FOLDER:
            folder = shlex.quote(str(self.settings.state_folder.resolve()))
            stack = f"{stack} --state-folder {folder}"
        yield "Ask it what you would ask a deployed one:"
        yield ""
        for words in (
            *(f"status {job}", f"trace {job}", f"verify {job}", "audit"),
            *("reconcile --dry-run", "dashboard", "callback-url"),
        ):
            yield f"  {archiver} {words} {stack}"
        yield ""


def _shown(path: Path) -> str:
    """Return a path as it is typed from here, if it is below."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)
