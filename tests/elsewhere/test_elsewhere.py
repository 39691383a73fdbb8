"""A new user's first minutes on a machine that is not ours: `make demo`, from nothing.

The project is copied as a zip download has it (without git) into a folder with a blank and an
apostrophe in its name, and set up, built and run there, with a person's AWS settings and a locale
of ASCII. The demo itself runs behind a proxy that answers nothing. Slow (a virtual environment is
made), so it has a target of its own: `make elsewhere`.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
NOT_IN_A_ZIP = shutil.ignore_patterns(
    ".git", ".venv", ".aws-sam", ".cache", ".local", "__pycache__", ".*_cache", ".hypothesis"
)
MINUTES = 60
OF_A_PERSON = {
    "AWS_PROFILE": "nobody",
    "AWS_DEFAULT_PROFILE": "nobody",
    "AWS_CONFIG_FILE": "/nonexistent/config",
    "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
    "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9",
    "AWS_ENDPOINT_URL_SQS": "http://127.0.0.1:9",
    "AWS_SESSION_TOKEN": "theirs",
    "AWS_USE_FIPS_ENDPOINT": "true",
    "LC_ALL": "C",
    "PYTHONCOERCECLOCALE": "0",
    "PYTHONIOENCODING": "ascii",
    "PYTHONUTF8": "0",
}


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy that is set up and built, in a folder of an unlucky name."""
    folder = tmp_path_factory.mktemp("elsewhere") / "Ann's exports [new]"
    shutil.copytree(PROJECT, folder, ignore=NOT_IN_A_ZIP, symlinks=True)
    done = make(folder, "build-local")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "set up   .venv, once: done in " in done.stdout
    return folder


@pytest.fixture
def deaf_proxy() -> Iterator[str]:
    """Return the URL of a proxy at which nobody answers: a port that is taken and not heard."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


def make(folder: Path, *words: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run make there, as a person with settings of their own."""
    return subprocess.run(  # noqa: S603 - our own Makefile
        ["/usr/bin/env", "make", "--no-print-directory", *words],
        cwd=folder,
        env={**os.environ, **OF_A_PERSON, "MAKEFLAGS": "", **settings},
        capture_output=True,
        encoding="ascii",  # all of it: what is printed in this locale has no other characters
        check=False,
    )


@pytest.mark.timeout(15 * MINUTES)
def test_the_demo_keeps_its_promise_there(clone: Path, deaf_proxy: str) -> None:
    """Loopback goes by no proxy, all is as promised, and no line is wider than 80 columns."""
    names = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")
    proxies = dict.fromkeys(names, deaf_proxy)
    done = make(clone, "demo", "SIZE_MIB=8", **proxies, NO_PROXY="internal.example", COLUMNS="80")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "All as promised, in " in done.stdout
    assert max(len(line) for line in done.stdout.splitlines()) <= 80


@pytest.mark.timeout(5 * MINUTES)
def test_the_build_for_lambda_and_the_template_pass_there(clone: Path) -> None:
    """Nothing that make calls stumbles over the folder's name or a profile that is not there."""
    for target in ("build", "check-template"):
        done = make(clone, target)
        assert done.returncode == 0, done.stdout + done.stderr
