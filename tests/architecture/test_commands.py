"""Every command that a document or an output of the stack prints is one that its tool takes.

The shell takes each apart, the tool that it names reads the words, and nothing is run: `aws` is the
locked AWS CLI with its own models, `make` says what it would run, `archiver` has a parser.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from cli.app import app
from tests.locked_venv import make_locked_venv
from tests.template.resolved import Stack

PROJECT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted([*PROJECT.glob("*.md"), *(PROJECT / "docs").glob("*.md")])
CLI_VENV = PROJECT / ".cache" / "cli" / "venv"
# Version 1, which is locked here (2 is in no package registry), has no such command. Where it is
# printed, that is said.
ONLY_IN_VERSION_2 = {("logs", "tail")}
# Reads words as the command line does, up to where it would call AWS.
READ_WORDS = """
import json, sys
from awscli import clidriver
clidriver.CLIOperationCaller.invoke = lambda self, *given: 0
from awscli.customizations.s3.subcommands import S3TransferCommand, ListCommand
S3TransferCommand._run_main = ListCommand._run_main = lambda self, parsed, globals: 0
driver = clidriver.create_clidriver()
def code(words):
    try:
        return driver.main(words)
    except SystemExit as ended:
        return ended.code
print(json.dumps([code(words) for words in json.load(sys.stdin)]))
"""
# In place of a tool: notes its words. What it prints may be put into the next command.
# What stands for the variables that a manual's first block sets, or its reader.
VARIABLES = {
    "JOB": "3f6c3c58-6a0f-4f6c-8f0f-3a1d4b1c9c11",
    "SINCE": "2026-01-01",
    **dict.fromkeys(
        (
            "BUCKET",
            "FUNCTION",
            "KEY",
            "LETTERS",
            "MAPPING",
            "MARKER",
            "OUTPUTS",
            "QUEUE",
            "SECRET",
            "STACK",
            "TABLE",
        ),
        "something",
    ),
}
# A file for each, for two that are joined by a pipe run at once.
NOTE_WORDS = """#!/bin/sh
printf '%s\\0' "$@" > "$NOTED/$$"
echo something
"""


def _blocks(text: str) -> Iterator[str]:
    """Yield what a document shows as commands: blocks of shell, and lines of code in a text."""
    yield from re.findall(r"^```(?:sh|text|bash)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    for block in re.findall(r"(?:^    .*\n)+", text, re.MULTILINE):
        yield re.sub(r"^    ", "", block, flags=re.MULTILINE)
    for code in re.findall(r"`((?:aws|make|archiver) [^`]+)`", text):
        yield " ".join(code.split())


def documented(tool: str) -> list[tuple[str, str]]:
    """Return the lines that begin with a tool, continued ones whole, each with its document."""
    found = set()
    for path in DOCUMENTS:
        for block in _blocks(path.read_text(encoding="utf-8")):
            for line in block.replace("\\\n", " ").splitlines():
                command = re.search(rf"(?:^|\$\(|\| )({tool} .*)", line)
                if command and "…" not in line:
                    found.add(
                        (path.name, re.sub(r"\s+#? .*$", "", line) if "  #" in line else line)
                    )
    return sorted(found)


def printed() -> list[tuple[str, str]]:
    """Return the outputs that are commands, each with its name."""
    outputs = Stack(EventArchiveDays="7").outputs
    return [(name, o["Value"]) for name, o in outputs.items() if name.endswith("Command")]


def words_of(commands: list[str], folder: Path, tool: str = "aws") -> list[list[str]]:
    """Let a shell run commands whose tool only notes its words; returns these."""
    stand_in = folder / tool
    stand_in.write_text(NOTE_WORDS)
    stand_in.chmod(0o755)
    commands_read = []
    for number, command in enumerate(commands):
        noted = folder / f"noted {number}"
        noted.mkdir()
        done = subprocess.run(  # noqa: S603 - our own documents' commands, and `aws` is a stand-in
            ["/bin/bash", "-c", re.sub(r"<([A-Za-z][^<>]*)>", "VALUE", command)],
            env={**VARIABLES, "PATH": f"{folder}:/usr/bin:/bin", "NOTED": str(noted)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert done.returncode == 0, f"{command}: {done.stderr}"
        commands_read += [path.read_text() for path in sorted(noted.iterdir())]
    return [text.removesuffix("\0").split("\0") for text in commands_read]


def cli_codes(words: list[list[str]]) -> tuple[list[int], str]:
    """Let the locked AWS CLI read words; returns its exit codes and what it complained of."""
    problem = make_locked_venv(CLI_VENV, PROJECT / ".ci" / "cli-requirements.txt")
    assert problem is None, problem
    done = subprocess.run(  # noqa: S603 - the locked venv's Python
        [str(CLI_VENV / "bin" / "python"), "-c", READ_WORDS],
        input=json.dumps(words),
        env={
            **os.environ,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "none",
            "AWS_SECRET_ACCESS_KEY": "none",
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    codes: list[int] = json.loads(done.stdout.splitlines()[-1])
    return codes, done.stderr


def test_every_aws_command_is_one_that_the_aws_cli_takes(tmp_path: Path) -> None:
    """Of the documents and of the outputs; none needs version 2 but one, which says so."""
    outputs = printed()
    assert len(outputs) >= 8
    commands = [*documented("aws"), *outputs]
    read = words_of([command for _, command in commands], tmp_path)
    assert len(read) >= len(outputs)
    portable = [
        [*words, "--generate-cli-skeleton"] if len(words) == 2 else words  # only named, in a text
        for words in read
        if tuple(words[:2]) not in ONLY_IN_VERSION_2
    ]
    codes, complaints = cli_codes(portable)
    refused = [words for words, code in zip(portable, codes, strict=True) if code]
    assert refused == [], complaints


def test_what_needs_version_2_says_so() -> None:
    """Where it is printed."""
    for name, output in Stack(EventArchiveDays="7").outputs.items():
        if any(f"aws {' '.join(words)} " in output["Value"] for words in ONLY_IN_VERSION_2):
            assert "AWS CLI 2" in output["Description"], name


@pytest.mark.parametrize(
    "words",
    [
        ["lambda", "invoke", "--function-name", "f", "--cli-binary-format", "x", "/dev/stdout"],
        ["sqs", "send-message", "--queue", "q"],
        ["sqs", "send-mesage"],
    ],
)
def test_a_command_that_the_aws_cli_does_not_take_is_noticed(words: list[str]) -> None:
    """The check can fail: an option of version 2, one that is missing, a slip."""
    codes, _ = cli_codes([words])
    assert codes != [0]


def commands_of_make() -> Iterator[tuple[str, str]]:
    """Yield what `make` would run of ours for each documented line, with its document."""
    for document, line in documented("make"):
        command = re.sub(
            r"[<>]", "", re.sub(r"\[[^]]*\]|--silent", "", line[line.index("make ") :])
        )
        done = subprocess.run(  # noqa: S603 - a dry run of our own Makefile
            ["/bin/bash", "-c", f"set -f; {command.replace('make ', 'make -n ', 1)}"],
            cwd=PROJECT,
            env={**os.environ, **VARIABLES},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert done.returncode == 0, f"{document}: {line}: {done.stderr}"
        for run in re.findall(r"^\S*bin/(archiver .*)", done.stdout, re.MULTILINE):
            yield document, run.partition(";")[0]


def test_every_command_of_ours_is_one_that_it_takes(tmp_path: Path) -> None:
    """Typed or run by `make`, options included; what stands for a job is given one."""
    commands = [*documented("archiver"), *commands_of_make()]
    words = words_of([command for _, command in commands], tmp_path, "archiver")
    assert len(words) >= 15
    group = typer.main.get_command(app)
    assert isinstance(group, typer.core.TyperGroup)
    stands_for = {"JOB": VARIABLES["JOB"], "N": "8000"}
    for read in words:
        name, *given = [stands_for.get(word, word) for word in read]
        if name == "--install-completion" or read[-1] == "--help":
            assert name.startswith("--") or name in group.commands
            continue
        only_named = not any(word.startswith("--") for word in given)  # in a text
        command = group.commands[name]
        while given and isinstance(command, typer.core.TyperGroup):  # `archiver orders apply`
            name, *given = given
            command = command.commands[name]
        command.make_context(name, given, resilient_parsing=only_named)


@pytest.mark.parametrize("words", [["--stak", "x"], [], ["--stack", "x", "--json", "more"]])
def test_a_command_of_ours_that_is_none_is_noticed(words: list[str]) -> None:
    """The check can fail: a slip, an option that is missing, a word too many."""
    group = typer.main.get_command(app)
    assert isinstance(group, typer.core.TyperGroup)
    with pytest.raises(Exception, match=r"option|parameter|argument"):
        group.commands["audit"].make_context("audit", words)
