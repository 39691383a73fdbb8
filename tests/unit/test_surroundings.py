"""What a person's machine brings along: proxies, AWS settings, encodings, disks, folders."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from threading import Event

import boto3
import pytest
from botocore.exceptions import ProfileNotFound
from botocore.utils import get_environ_proxies

from local.local_run import enter_local_run
from local.state_folder import held
from local.surroundings import (
    NoRoomError,
    Room,
    forget_aws_settings,
    proxy_settings,
    reach_loopback_directly,
    sentence_of,
)

PROJECT = Path(__file__).resolve().parents[2]
PROXY = "http://proxy.example:3128"
LOOPBACK = ("https://localhost:4566/q", "https://127.0.0.1:1/", "http://[::1]:8/")


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Return an environment that is put back, with nothing of a proxy or of AWS in it."""
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name in ("NO_PROXY", "no_proxy", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, "")  # so that it is taken away again
        os.environ.pop(name)
    return monkeypatch


@pytest.mark.parametrize(
    ("no_proxy", "small", "also_direct"),
    [
        (None, None, ()),
        ("", None, ()),
        ("internal.example", None, ("https://internal.example/",)),
        (
            "internal.example",
            "other.example",
            ("https://internal.example/", "https://other.example/"),
        ),
        (" internal.example , ,localhost", None, ("https://internal.example/",)),
        ("*", None, ("https://anything.example/",)),
        ("*,internal.example", None, ("https://anything.example/",)),
    ],
)
@pytest.mark.parametrize("proxies", [("HTTPS_PROXY", "HTTP_PROXY"), ("https_proxy", "all_proxy")])
def test_loopback_goes_by_no_proxy_and_all_else_as_before(
    environment: pytest.MonkeyPatch,
    proxies: tuple[str, str],
    no_proxy: str | None,
    small: str | None,
    also_direct: tuple[str, ...],
) -> None:
    """NO_PROXY is added to, not replaced, in both spellings, as boto reads it."""
    for name in proxies:
        environment.setenv(name, PROXY)
    for name, value in (("NO_PROXY", no_proxy), ("no_proxy", small)):
        if value is not None:
            environment.setenv(name, value)
    reach_loopback_directly()
    reach_loopback_directly()  # a child that does it again changes nothing
    for url in (*LOOPBACK, *also_direct):
        assert get_environ_proxies(url) == {}, url
    if "https://anything.example/" not in also_direct:
        assert get_environ_proxies("https://anything.example/")["https"] == PROXY
    assert os.environ["NO_PROXY"] == os.environ["no_proxy"]
    hosts = os.environ["NO_PROXY"].split(",")
    assert len(hosts) == len(set(hosts))


def test_a_child_is_given_the_proxies_and_nothing_else() -> None:
    """A runtime, whose environment is otherwise empty, reaches another vendor by them."""
    given = {"HTTPS_PROXY": PROXY, "no_proxy": "localhost", "HOME": "/x", "PROXY": "y"}
    assert proxy_settings(given) == {"HTTPS_PROXY": PROXY, "no_proxy": "localhost"}


SETTINGS = {
    "AWS_PROFILE": "nobody",
    "AWS_DEFAULT_PROFILE": "nobody",
    "AWS_SESSION_TOKEN": "theirs",
    "AWS_REGION": "eu-central-1",
    "AWS_ENDPOINT_URL_SQS": "https://sqs.example",
    "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true",
    "AWS_USE_FIPS_ENDPOINT": "true",
    "AWS_USE_DUALSTACK_ENDPOINT": "true",
}


def test_commands_of_the_local_run_take_none_of_the_persons_aws_settings(
    environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Profile, session, files and a service's own endpoint are a person's; the run has its own."""
    config = tmp_path / "config"
    config.write_text("[default]\nendpoint_url = https://theirs.example\nregion = eu-central-1\n")
    for name, value in {**SETTINGS, "AWS_CONFIG_FILE": str(config)}.items():
        environment.setenv(name, value)
    with pytest.raises(ProfileNotFound):
        boto3.Session().client("sqs")
    told = {
        "stack": "s",
        "aws_endpoint_url": "https://localhost:1",
        "s3_endpoint_url": "https://localhost:2",
        "ca_bundle": str(tmp_path / "ca.pem"),
        "region": "us-east-1",
        "access_key_id": "LOCAL",
        "secret_access_key": "local",
    }
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_CA_BUNDLE", "AWS_DEFAULT_REGION"):
        environment.setenv(name, "theirs")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        environment.setenv(name, "theirs")
    folder = tmp_path / "run"
    with held(folder):  # as a run does while it is up
        (folder / "endpoints.json").write_text(json.dumps(told))
        enter_local_run(folder)
    session = boto3.Session()
    credentials = session.get_credentials()
    assert credentials is not None
    assert (credentials.access_key, credentials.token) == ("LOCAL", None)
    for service, url in (("sqs", "https://localhost:1"), ("s3", "https://localhost:2")):
        client = session.client(service, verify=False)  # type: ignore[call-overload]  # names are literals there
        assert client.meta.endpoint_url == url
        assert client.meta.region_name == "us-east-1"
    assert get_environ_proxies("https://localhost:1") == {}


def test_nothing_of_aws_is_left_but_files_that_are_empty() -> None:
    """Whatever AWS_ variable an SDK learns next is gone, too."""
    environment = {**SETTINGS, "AWS_SOMETHING_NEW": "x", "HOME": "/home/me"}
    forget_aws_settings(environment)
    assert environment == {
        "HOME": "/home/me",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"PYTHONIOENCODING": "ascii"}, "... + == -> ? ok"),
        ({"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, "... + == -> ? ok"),
        ({"PYTHONIOENCODING": "iso-8859-1"}, "... + == -> é ok"),
        ({"PYTHONIOENCODING": "utf-8"}, "… ✓ ━━ → é ok"),
    ],
)
def test_no_character_ends_a_run(settings: dict[str, str], expected: str) -> None:
    """What an output cannot show is written in ASCII; what it can show is not touched."""
    code = "from local.surroundings import speak_plainly as s; s(); import sys\n"
    code += f"for file in (sys.stdout, sys.stderr): print({'… ✓ ━━ → é ok'!a}, file=file)"
    done = subprocess.run(  # noqa: S603 - our own interpreter
        [sys.executable, "-c", code],
        cwd=PROJECT,
        env={**os.environ, **settings},
        capture_output=True,
        check=True,
    )
    encoding = settings.get("PYTHONIOENCODING", "ascii")
    assert done.stdout.decode(encoding).strip() == expected
    assert done.stderr.decode(encoding).strip() == expected


def test_a_disk_without_the_room_is_told_before_anything_starts(tmp_path: Path) -> None:
    """With what is left, what is needed and what to do; two folders on one disk need both."""
    free_bytes = shutil.disk_usage(tmp_path).free
    Room({tmp_path: 1, tmp_path / "not" / "there": 1}).check()
    with pytest.raises(NoRoomError, match=r"has \d+ MiB left and this needs \d+ MiB: free some"):
        Room({tmp_path: 2 * free_bytes}).check()
    with pytest.raises(NoRoomError, match="MiB left"):
        Room({tmp_path: free_bytes * 2 // 3, tmp_path / "more": free_bytes * 2 // 3}).check()


def test_what_fails_on_a_full_disk_is_told_as_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever filled it, and even if there is room again: else it looks like a fault of ours."""
    room = Room({tmp_path: 1})
    with pytest.raises(ValueError, match="a bug"), room.watched():
        raise ValueError("a bug")
    usage, seen = shutil.disk_usage(tmp_path), Event()

    def full(_: Path) -> object:
        seen.set()
        return usage._replace(free=1024)

    with pytest.raises(NoRoomError, match=f"the disk of {tmp_path} is full: free some"):  # noqa: SIM117, PT012 - the disk fills up in the midst
        with room.watched():
            monkeypatch.setattr(shutil, "disk_usage", full)
            assert seen.wait(10)
            monkeypatch.undo()
            raise ValueError("500 Internal Server Error")
    with pytest.raises(NoRoomError):
        room.raise_if_full()


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    """Here because its parent is a file, which stops root, too."""
    (tmp_path / "file").write_text("")
    with pytest.raises(NoRoomError, match=r"file cannot be written: make it yours"):
        Room({tmp_path / "file" / "state": 1}).check()


@pytest.mark.parametrize(
    ("number", "sentence"),
    [
        (errno.ENOSPC, "the disk is full (/x/y): free some, or set TMPDIR"),
        (errno.EDQUOT, "the disk is full (/x/y): free some, or set TMPDIR"),
        (errno.EACCES, "/x/y cannot be written: make it yours (chown, chmod)"),
        (errno.EROFS, "/x/y cannot be written: make it yours (chown, chmod)"),
        (errno.EADDRINUSE, "an address is in use already: end what listens there"),
        (errno.ENOENT, None),
    ],
)
def test_errors_of_the_machine_are_one_sentence_with_the_remedy(
    number: int, sentence: str | None
) -> None:
    """What is not the machine's stays an error of the program, with its traceback."""
    told = sentence_of(OSError(number, os.strerror(number), "/x/y"))
    assert told is None if sentence is None else (told or "").startswith(sentence)
