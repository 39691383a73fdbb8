"""pytest's side of `make taint`: what tests print and log is searched, and what was seen is told.

Loaded with `-p tests.taint.plugin`. The tiers search tables, queues, events and the like by
themselves, in `make test` as well. Here every test's captured output is searched too, whatever
the test is about, and one line at the end says how much was looked at and for how many secrets.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

from tests.taint.shared import SEARCHER

_WHAT = ("searched_texts", "searched_characters", "known_secrets")
_elsewhere: list[dict[str, int]] = []  # what xdist's workers saw


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail a test whose output holds a secret."""
    report = yield
    findings = [
        str(finding)
        for name, text in report.sections
        for finding in SEARCHER.find(f"{name} of {item.name[:60]}", text)
    ]
    if findings and report.passed:
        report.outcome = "failed"
        report.longrepr = f"{call.when}: " + "\n".join(findings)
    return report


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Let a worker tell what it saw; a hunt over nothing is not a pass."""
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["taint"] = _seen()
    elif not all(_total().values()):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:  # noqa: ANN401, ARG001 - xdist's hook
    """Hear what a worker saw; one that died tells nothing, and xdist says of what it died."""
    if hasattr(node, "workeroutput"):
        _elsewhere.append(node.workeroutput["taint"])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how much was searched, and for how many secrets."""
    texts, characters, secrets = _total().values()
    terminalreporter.write_line(
        f"searched {texts:,} texts ({characters:,} characters) for {secrets:,} secrets"
    )


def _total() -> dict[str, int]:
    return {what: sum(seen[what] for seen in [_seen(), *_elsewhere]) for what in _WHAT}


def _seen() -> dict[str, int]:
    return {what: getattr(SEARCHER, what) for what in _WHAT}
