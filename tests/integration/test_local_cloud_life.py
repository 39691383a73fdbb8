"""How the embedded cloud starts, fails to start, is killed, and ends: nothing may be left over."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

import pytest
import trustme

from cli.app import main
from local.aws.expansion import ParameterError
from local.cloud import CloudError, LocalCloud

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_ROOT = Path(__file__).resolve().parents[2]
# the smallest stack that the local cloud takes
TEMPLATE = """
AWSTemplateFormatVersion: "2010-09-09"
Transform: AWS::Serverless-2016-10-31
Parameters:
  Level: {Type: String, Default: INFO, AllowedValues: [INFO, DEBUG]}
  Name: {Type: String, Default: a, AllowedPattern: "[a-z]+", ConstraintDescription: small letters}
  Count: {Type: Number, Default: 2, MinValue: 1, MaxValue: 5}
  ExistingArchiveBucketName: {Type: String, Default: ""}
  EventBusName: {Type: String, Default: default}
  CredentialsSecretArn: {Type: String, Default: ""}
Conditions:
  OwnBucket: !Equals [!Ref ExistingArchiveBucketName, ""]
  OwnSecret: !Equals [!Ref CredentialsSecretArn, ""]
Resources:
  ArchiveQueue: {Type: AWS::SQS::Queue}
  DeadLetterQueue: {Type: AWS::SQS::Queue}
  ArchiveBucket: {Type: AWS::S3::Bucket, Condition: OwnBucket}
  Secret: {Type: AWS::SecretsManager::Secret, Condition: OwnSecret}
  Table:
    Type: AWS::DynamoDB::Table
    Properties:
      BillingMode: PAY_PER_REQUEST
      AttributeDefinitions: [{AttributeName: id, AttributeType: S}]
      KeySchema: [{AttributeName: id, KeyType: HASH}]
  ArchiveExportFunction:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: functions/sleeper
      Handler: sleeper.handle
      Runtime: python3.13
      MemorySize: 128
      Timeout: 60
      Environment:
        Variables:
          QUEUE_URL: !Ref ArchiveQueue
          DEAD_LETTER_QUEUE_URL: !Ref DeadLetterQueue
          ARCHIVE_BUCKET: !If [OwnBucket, !Ref ArchiveBucket, !Ref ExistingArchiveBucketName]
          TABLE_NAME: !Ref Table
          EVENT_BUS_NAME: !Ref EventBusName
          CREDENTIALS_SECRET_ARN: !If [OwnSecret, !Ref Secret, !Ref CredentialsSecretArn]
      Events:
        Queue:
          Type: SQS
          Properties: {Queue: !GetAtt ArchiveQueue.Arn, ScalingConfig: {MaximumConcurrency: 3}}
"""
SLEEPER = """
import os, time

def handle(event, context):
    hoard = bytearray(event.get("mib", 0) * 1024 * 1024)
    hoard[::4096] = b"x" * len(hoard[::4096])
    print("asleep", flush=True)
    time.sleep(event.get("seconds", 0))
    return os.getpid()
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the smallest stack's template and build."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "template.yaml").write_text(TEMPLATE, encoding="utf-8")
    code = folder / "build" / "ArchiveExportFunction"
    code.mkdir(parents=True)
    (code / "sleeper.py").write_text(SLEEPER, encoding="utf-8")
    return folder


@pytest.fixture
def make_cloud(project: Path, tmp_path: Path) -> Callable[..., LocalCloud]:
    """Return a constructor with the small stack filled in."""

    def make(**wanted: object) -> LocalCloud:
        settings: dict[str, object] = {
            "template_path": project / "template.yaml",
            "build_folder": project / "build",
            "state_folder": tmp_path / "state",
            **wanted,
        }
        return LocalCloud(**settings)  # type: ignore[arg-type]  # the tests' own keywords

    return make


def _wait_until(holds: Callable[[], bool], deadline_seconds: float = 10) -> None:
    deadline, pause = time.monotonic() + deadline_seconds, Event()
    while not holds():
        assert time.monotonic() < deadline, "the condition never held"
        pause.wait(0.02)


def _processes_naming(folder: Path) -> list[int]:
    """Return every live process but this one whose command line names the folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and int(entry.name) != os.getpid():
            try:
                if str(folder).encode() in (entry / "cmdline").read_bytes():
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


def test_killed_runtime_fails_its_call_and_the_next_one_works(
    make_cloud: Callable[..., LocalCloud],
) -> None:
    """SIGKILL in mid-call is an exit error; the runtime comes back with a new process."""
    with make_cloud() as cloud, ThreadPoolExecutor(1) as caller:
        call = caller.submit(cloud.invoke, {"seconds": 30})
        _wait_until(lambda: "asleep" in cloud.logs() and cloud.pool().kill_busy() == 1)
        killed = call.result(timeout=10)
        assert killed.error_type == "Runtime.ExitError"
        assert killed.duration_seconds < 10
        assert cloud.invoke({}).succeeded


def test_end_of_the_cloud_ends_running_invocations(
    make_cloud: Callable[..., LocalCloud], tmp_path: Path
) -> None:
    """Leaving the context while functions run takes seconds, not their timeout."""
    with make_cloud() as cloud:
        for _ in range(3):
            cloud.send({"seconds": 50})
        _wait_until(lambda: cloud.running_count >= 1)
        started = time.monotonic()
    assert time.monotonic() - started < 8
    _wait_until(lambda: not _processes_naming(tmp_path))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_signal_to_the_parent_leaves_no_process(
    project: Path, tmp_path: Path, number: signal.Signals
) -> None:
    """However the parent dies, in mid-invocation too, emulators and functions die with it."""
    code = f"""
import signal, sys
sys.path.insert(0, {str(_ROOT)!r})
from local.cloud import LocalCloud, Path
folder = Path({str(project)!r})
with LocalCloud(template_path=folder / "template.yaml", build_folder=folder / "build",
                state_folder=Path({str(tmp_path)!r})) as cloud:
    print(cloud.invoke({{}}).payload, flush=True)
    cloud.invoke({{"seconds": 50}})
"""
    command = [sys.executable, "-c", code]
    parent = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)  # noqa: S603 - ours
    with parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert child in _processes_naming(tmp_path)
        parent.send_signal(number)
        parent.wait(timeout=60)  # a stack stops in seconds; a busy machine takes longer
    _wait_until(lambda: not _processes_naming(tmp_path))


def test_failed_start_takes_everything_down(
    make_cloud: Callable[..., LocalCloud], tmp_path: Path
) -> None:
    """A missing build is said in one sentence, and the next start works."""
    with pytest.raises(Exception, match="make build-local"):
        make_cloud(build_folder=tmp_path / "nothing").__enter__()
    with make_cloud() as cloud:
        assert cloud.invoke({}).succeeded


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        ({"Nmae": "x"}, "no parameter 'Nmae'; it has: .*Name"),
        ({"Level": "LOUD"}, "must be one of: INFO, DEBUG"),
        ({"Name": "X1"}, "small letters"),
        ({"Count": "9"}, "from 1 to 5"),
        ({"Count": "many"}, "must be a number"),
    ],
)
def test_bad_parameter_is_refused_with_a_reason(
    make_cloud: Callable[..., LocalCloud], parameters: dict[str, str], sentence: str
) -> None:
    """What CloudFormation would refuse is refused here, before anything is deployed."""
    with pytest.raises(ParameterError, match=sentence):
        make_cloud(parameters=parameters).__enter__()


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"s3_endpoint": "https://s3.example"}, "needs its keys"),
        ({"access_key_id": "a"}, "without an S3 endpoint"),
        (
            {"s3_endpoint": "http://s3.example", "access_key_id": "a", "secret_access_key": "b"},
            "https://",
        ),
        ({"api_base_url": "https://vendor.example/v1"}, "two addresses"),
        ({"api_base_url": "http://v.example", "token_url": "https://v.example"}, "must be an http"),
        ({"ca_bundle": Path("/no/such.pem")}, "no such file"),
        ({"ca_bundle": Path(__file__)}, "no certificate in it"),
        ({"ca_bundle": Path("/dev/null")}, "no certificate in it"),
        ({"ca_bundle": Path("/")}, "cannot be read|no certificate in it"),
    ],
)
def test_bad_setting_is_refused_with_a_reason(
    make_cloud: Callable[..., LocalCloud], settings: dict[str, object], sentence: str
) -> None:
    """Each sentence names what is wrong and what to give instead."""
    with pytest.raises(CloudError, match=sentence):
        make_cloud(**settings)


def test_existing_resources_are_there_before_the_stack(
    make_cloud: Callable[..., LocalCloud],
) -> None:
    """What a parameter names as existing exists, and the stack uses it."""
    arn = "arn:aws:secretsmanager:us-east-1:123456789012:secret:theirs"
    parameters = {
        "ExistingArchiveBucketName": "their-bucket",
        "EventBusName": "their-bus",
        "CredentialsSecretArn": arn,
    }
    with make_cloud(parameters=parameters) as cloud:
        assert (cloud.bucket, cloud.event_bus) == ("their-bucket", "their-bus")
        assert cloud.credentials_secret.startswith(arn)
        assert "ArchiveBucket" not in cloud.stack.resources
        cloud.clients.s3.head_bucket(Bucket="their-bucket")


def test_without_filled_credentials_the_secret_has_no_value(
    make_cloud: Callable[..., LocalCloud],
) -> None:
    """A stack that was just deployed answers ResourceNotFound, as AWS does."""
    with make_cloud(fill_credentials=False) as cloud:
        secrets = cloud.clients.secretsmanager
        with pytest.raises(secrets.exceptions.ResourceNotFoundException):
            secrets.get_secret_value(SecretId=cloud.credentials_secret)


def test_another_s3_server_gets_the_bucket_and_the_runtimes_its_keys(
    make_cloud: Callable[..., LocalCloud], another_s3: tuple[str, Path]
) -> None:
    """The bucket is made there, versioned, and objects of this stack lie there alone."""
    url, bundle = another_s3
    with make_cloud(
        s3_endpoint=url,
        access_key_id="THEIRKEY",
        secret_access_key="their-secret",
        ca_bundle=bundle,
        parameters={"ExistingArchiveBucketName": "elsewhere"},
    ) as cloud:
        for body in (b"x", b"y"):
            cloud.clients.s3.put_object(Bucket="elsewhere", Key="k", Body=body)
        assert len(cloud.object_versions("k")) == 2
        assert "Contents" not in cloud.clients.moto_s3.list_objects_v2(Bucket="elsewhere")
        settings = cloud.pool().settings
        assert cloud.notes == []  # it does what AWS does, and was empty
        assert settings.environment["AWS_ENDPOINT_URL_S3"] == url
        assert settings.credentials.access_key_id == "THEIRKEY"
        assert "their-secret" not in repr(settings)


@pytest.fixture
def another_s3(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """Start a second moto in a process of its own, with a certificate that nobody here issued."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "theirs.pem")
    certificate = authority.issue_cert("localhost")
    certificate.private_key_pem.write_to_path(tmp_path / "key.pem")
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    files = ["-c", str(tmp_path / "cert.pem"), "-k", str(tmp_path / "key.pem")]
    command = [sys.executable, "-m", "moto.server", "-p", str(port), *files]
    quiet = subprocess.DEVNULL
    with subprocess.Popen(command, stderr=quiet, stdout=quiet) as server:  # noqa: S603 - ours
        try:
            _wait_until(lambda: _answers(port), deadline_seconds=20)
            yield f"https://localhost:{port}", tmp_path / "theirs.pem"
        finally:
            server.kill()


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), 1):
            return True
    except OSError:
        return False


def test_memory_limit_kills_what_outgrows_it(make_cloud: Callable[..., LocalCloud]) -> None:
    """With the limit on, a function dies above its MemorySize and lives below it."""
    with make_cloud(enforce_memory=True) as cloud:
        assert cloud.invoke({"mib": 32}).succeeded
        assert not cloud.invoke({"mib": 200, "seconds": 5}).succeeded
        assert cloud.invoke({"mib": 32}).succeeded


def test_command_line_keeps_the_stack_up_until_a_signal(project: Path, tmp_path: Path) -> None:
    """`up` says where things are, ends with code 130 at SIGTERM, and takes its endpoints away."""
    state = tmp_path / "state"
    folders = ["--build-folder", str(project / "build"), "--state-folder", str(state)]
    command = [sys.executable, "-m", "cli", "local", *folders]
    command += ["--template", str(project / "template.yaml"), "--parameter", "Level=DEBUG"]
    up = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=_ROOT)  # noqa: S603 - ours
    with up:
        assert up.stdout is not None
        assert up.stdout.readline().startswith("The stack is up.")
        endpoints = json.loads((state / "endpoints.json").read_text(encoding="utf-8"))
        up.send_signal(signal.SIGTERM)
        said = up.stdout.read()
        assert up.wait(timeout=20) == 130
    assert endpoints["queue_url"] in said
    assert not (state / "endpoints.json").exists()
    assert not _processes_naming(tmp_path)


@pytest.mark.parametrize(
    "arguments",
    [
        ["local", "--parameter", "nonsense"],
        ["local", "--lose-callbacks", "1.1"],
        ["local", "--lose-callbacks", "most"],
        ["local", "--complete-after", "soon"],
        ["local", "--quiet", "--json"],
        ["demo", "--size-mib", "0"],
        ["down"],
    ],
)
def test_command_line_refuses_nonsense_with_exit_code_2(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """The parser says what is wrong; nothing is started."""
    assert main(arguments) == 2
    assert "Error:" in capsys.readouterr().err


def test_command_line_refuses_an_endpoint_without_keys(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A setting that no parser can judge ends in a sentence and exit code 2 as well."""
    assert main(["local", "--s3-endpoint", "https://s3.example"]) == 2
    assert "--s3-access-key-id" in capsys.readouterr().err


def test_a_bundle_that_holds_a_key_alone_is_refused(
    make_cloud: Callable[..., LocalCloud], tmp_path: Path
) -> None:
    """What is PEM is not a certificate yet; one with a certificate beside the key is taken."""
    authority = trustme.CA()
    key = tmp_path / "key.pem"
    authority.private_key_pem.write_to_path(key)
    with pytest.raises(CloudError, match=r"--ca-bundle .*key\.pem: no certificate in it"):
        make_cloud(ca_bundle=key)
    authority.cert_pem.write_to_path(key, append=True)
    make_cloud(ca_bundle=key)
