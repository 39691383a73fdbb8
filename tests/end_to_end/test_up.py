"""`make local`: what it prints works as printed, and what comes of it is said as it happens.

The commands are run as a person would paste them, in a shell that knows nothing of the run and
whose proxies lead nowhere.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any

import boto3
import pytest

from cli.app import main as archiver
from local.local_run import enter_local_run
from local.up import UpSettings, run_up
from tests.locked_venv import make_locked_venv
from tests.unit.test_ports import four_free_ports

PROJECT = Path(__file__).resolve().parents[2]
CLI_VENV = PROJECT / ".cache" / "cli" / "venv"
PATIENCE_SECONDS = 60
SAMPLE = "Send a job that has completed"
ORDER = "Order an export at the stand-in"
ENVIRONMENT = (
    *("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_CA_BUNDLE", "AWS_DEFAULT_REGION"),
    *("AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
)
NOWHERE = "http://127.0.0.1:9"  # the discard port: nobody listens


@dataclass
class Run:
    """One `make local`, and what it has said so far."""

    process: subprocess.Popen[bytes]
    state_folder: Path
    out: Path
    err: Path

    def said(self) -> str:
        """Return its standard output."""
        return self.out.read_text(encoding="utf-8")

    def wait_until(self, holds: Callable[[str], Any]) -> Any:  # noqa: ANN401 - what holds returns
        """Wait until its output is as wanted, and return what made it so."""
        deadline, pause = time.monotonic() + PATIENCE_SECONDS, Event()
        while not (found := holds(self.said())):
            assert self.process.poll() is None, self.err.read_text()
            assert time.monotonic() < deadline, f"never said; it said: {self.said()}"
            pause.wait(0.05)
        return found

    def block(self, title: str) -> str:
        """Return the commands below a title."""
        _, _, after = self.said().partition(title)
        lines = after.splitlines()[2:]
        return "\n".join(lines[: lines.index("")])

    def end(self) -> None:
        """Let it end as Ctrl-C does."""
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(PATIENCE_SECONDS) == 130

    def lines(self, kind: str, job_id: str) -> list[str]:
        """Return the lines that it said of a job, without the time."""
        found = [line[10:] for line in self.said().splitlines() if job_id in line]
        return [line for line in found if line.startswith(kind)]


@contextmanager
def running(folder: Path, *options: str) -> Iterator[Run]:
    """Run `make local` with a state folder of its own."""
    state_folder = folder / "its own state"
    out, err = folder / "out.txt", folder / "err.txt"
    command = [sys.executable, "-m", "cli", "local", "--state-folder", str(state_folder), *options]
    with out.open("wb") as stdout, err.open("wb") as stderr:
        process = subprocess.Popen(command, stdout=stdout, stderr=stderr, cwd=PROJECT)  # noqa: S603 - ours
        try:
            yield Run(process, state_folder, out, err)
        finally:
            process.terminate()
            process.wait(PATIENCE_SECONDS)


def paste(commands: str) -> str:
    """Run commands in a shell of a person's, who has AWS variables and proxies of their own."""
    done = subprocess.run(  # noqa: S603 - what the run printed is tried here
        ["/bin/bash", "-eu", "-o", "pipefail", "-c", commands],
        env={
            "PATH": f"{CLI_VENV / 'bin'}:{os.defpath}",
            "HOME": "/nonexistent",
            "AWS_PROFILE": "somebody-elses",
            "AWS_SESSION_TOKEN": "somebody-elses",
            "AWS_ENDPOINT_URL_S3": NOWHERE,
            "HTTPS_PROXY": NOWHERE,
            "HTTP_PROXY": NOWHERE,
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert done.returncode == 0, f"{commands}\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """Keep one up for this file, and see it end in order."""
    problem = make_locked_venv(CLI_VENV, PROJECT / ".ci" / "cli-requirements.txt")
    assert problem is None, problem
    with running(tmp_path_factory.mktemp("up"), "--complete-after", "1") as run:
        run.wait_until(lambda said: "From here on" in said)
        yield run
        run.end()
        assert "Traceback" not in run.err.read_text()
        assert not list(run.state_folder.glob("*e*n*v*"))  # no keys stay
        assert not (run.state_folder / "endpoints.json").exists()


def test_an_export_that_is_ordered_by_the_printed_curl_is_archived(run: Run) -> None:
    """Ordered, called back, queued, archived, told on the bus: each is a line, and a file."""
    job_id = str(json.loads(paste(run.block(ORDER)))["job_id"])
    (event,) = run.wait_until(lambda _: run.lines("event        Export Archived", job_id))
    (message,) = run.wait_until(lambda _: run.lines("message      archived", job_id))
    assert "verified by crc64nvme" in message
    assert run.lines("callback", job_id)
    assert list(run.state_folder.glob(f"archive/**/{job_id}.csv"))
    assert f"{job_id}.csv" in event


def test_what_is_printed_for_any_aws_tool_works_as_printed(run: Run) -> None:
    """Send, list, look at dead letters; in a shell that has been told of other accounts."""
    commands = run.block(SAMPLE)
    job_id = commands.partition('{"job_id": "')[2].partition('"')[0]
    paste(commands)
    run.wait_until(lambda _: run.lines("event        Export Archived", job_id))
    environment, listing = (
        line for line in commands.splitlines() if "env" in line or " ls " in line
    )
    assert f"{job_id}.csv" in paste(f"{environment}\n{listing}")


def test_the_report_is_kept_up_to_date(run: Run) -> None:
    """It is where it was said to be, and says of each outcome soon after; nobody asked for it."""
    path = run.state_folder.resolve() / "report.html"
    assert f"the report      {path} (" in run.said()
    told = json.loads((run.state_folder / "endpoints.json").read_text())
    client(told, "sqs").send_message(QueueUrl=told["queue_url"], MessageBody="also nonsense")
    run.wait_until(lambda _: path.is_file() and "dead letter" in path.read_text(encoding="utf-8"))
    before = path.read_text(encoding="utf-8")
    job_id = run.block(SAMPLE).partition('{"job_id": "')[2].partition('"')[0]
    body = json.dumps({"job_id": job_id, "recheck": True})
    client(told, "sqs").send_message(QueueUrl=told["queue_url"], MessageBody=body)
    run.wait_until(lambda _: path.read_text(encoding="utf-8") != before)
    run.wait_until(lambda _: job_id in path.read_text(encoding="utf-8"))


def test_every_command_of_ours_that_is_printed_can_be_asked(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each ends with 0: status, trace, verify, audit, reconcile, dashboard, callback-url."""
    monkeypatch.chdir(PROJECT)
    commands = [shlex.split(line) for line in run.block("Ask it what you would ask").splitlines()]
    assert len(commands) == 7
    run.wait_until(lambda _: run.lines("event        Export Archived", commands[0][2]))
    for program, *words in commands:
        for name in ENVIRONMENT:  # what the command sets is undone with the test
            monkeypatch.setenv(name, "somebody-elses")
        assert Path(program).resolve() == Path(sys.executable).with_name("archiver").resolve()
        assert archiver(words) == 0, capsys.readouterr()


def test_a_dead_letter_and_a_sweep_are_said(run: Run) -> None:
    """What nobody archives, and what the schedule would find."""
    told = json.loads((run.state_folder / "endpoints.json").read_text())
    client(told, "sqs").send_message(QueueUrl=told["queue_url"], MessageBody="nonsense")
    run.wait_until(lambda said: "  dead letter  malformed_message  " in said)
    run.wait_until(lambda said: "  message      rejected           malformed_message: " in said)
    functions = client(told, "lambda")
    names = [each["FunctionName"] for each in functions.list_functions()["Functions"]]
    (sweep,) = [name for name in names if "reconcile" in name.lower()]
    functions.invoke(FunctionName=sweep, Payload=b'{"dry_run": true}')
    run.wait_until(lambda said: "  sweep        finished           a dry run; " in said)


def test_a_second_stack_beside_it_takes_nothing_and_speaks_json(run: Run, tmp_path: Path) -> None:
    """Ports that were asked for, one object a line, no more; the first one loses nothing."""
    before = files_of(run.state_folder, "tls/ca-bundle.pem", "endpoints.json", "env")
    first = four_free_ports()
    options = ["--json", "--port", str(first), "--trusted-link-host", "localhost"]
    with running(tmp_path, *options) as second:
        second.wait_until(lambda said: '"kind": "note"' in said)
        up, note = map(json.loads, second.said().splitlines())
        told = json.loads(Path(up["endpoints"]).read_text())
        assert told["aws_endpoint_url"] == f"https://localhost:{first}"
        assert told["token_url"].startswith(f"https://localhost:{first + 1}/")
        assert told["callback_url"].startswith(f"https://localhost:{first + 3}/")
        assert told["client_secret"] not in second.said()
        assert "port 443" in note["text"]
        body = json.dumps({"job_id": up["sample_job_id"]})
        client(told, "sqs").send_message(QueueUrl=told["queue_url"], MessageBody=body)
        second.wait_until(lambda said: '"kind": "event"' in said and '"archived"' in said)
        second.end()
    objects = [json.loads(line) for line in second.said().splitlines()]
    kinds = [one["kind"] for one in objects if one["job_id"] == up["sample_job_id"]]
    assert sorted(kinds) == ["event", "message"]
    assert files_of(run.state_folder, "tls/ca-bundle.pem", "endpoints.json", "env") == before
    assert run.process.poll() is None


def files_of(folder: Path, *names: str) -> list[bytes]:
    """Return what files hold."""
    return [(folder / name).read_bytes() for name in names]


def client(told: dict[str, str], service: str) -> Any:  # noqa: ANN401 - boto3's, by a name
    """Return a client made of nothing but what endpoints.json says."""
    return boto3.session.Session().client(  # type: ignore[call-overload] # a name at run time
        service,
        endpoint_url=told["aws_endpoint_url"],
        region_name=told["region"],
        aws_access_key_id=told["access_key_id"],
        aws_secret_access_key=told["secret_access_key"],
        verify=told["ca_bundle"],
    )


@pytest.mark.parametrize("taken", ["folder", "port"])
def test_what_cannot_be_is_one_sentence_before_anything_is_started(
    run: Run, taken: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A folder in use, a port in use: exit code 2, and nobody's files are touched."""
    names = ("tls/ca-bundle.pem", "endpoints.json", "env")
    before = files_of(run.state_folder, *names)
    url = json.loads((run.state_folder / "endpoints.json").read_bytes())["aws_endpoint_url"]
    port = int(url.rpartition(":")[2])
    asked, sentence = {
        "folder": (UpSettings(state_folder=run.state_folder), f"by process {run.process.pid} ("),
        "port": (UpSettings(state_folder=tmp_path, port=port), f"port {port} is in use"),
    }[taken]
    assert run_up(asked) == 2
    said = capsys.readouterr()
    assert sentence in said.err
    assert said.err.count("\n") == 1
    assert said.out == ""
    assert files_of(run.state_folder, *names) == before
    assert list(tmp_path.iterdir()) == []


def test_the_tools_find_the_run_in_its_folder(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """`--stack local` reads what the run wrote, client id and secret included."""
    for name in ENVIRONMENT:
        monkeypatch.setenv(name, "somebody-elses")
    found = enter_local_run(run.state_folder)
    told = json.loads((run.state_folder / "endpoints.json").read_text())
    assert found.stack == told["stack"]
    assert told["client_id"] in run.said()
    assert told["client_secret"] in run.said()
