"""A real browser, and pages opened in it: each must end without an error and without a request."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from cli.report.found import Found
from tests.page.sample import page_of

Open = Callable[..., Page]
PATIENCE_MS = 20_000


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Start it once; `make test-page` says which."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=os.environ["BROWSER_PATH"])
        yield browser
        browser.close()


@pytest.fixture
def opened(browser: Browser, tmp_path: Path) -> Iterator[Open]:
    """Return what opens a stack's page from its file, as a person would."""
    said: list[str] = []
    contexts = []

    def open_page(
        found: Found,
        coverage: Mapping[str, Any] | None = None,
        *,
        scheme: str = "light",
        width: int = 1200,
        fragment: str = "",
    ) -> Page:
        path = tmp_path / "report.html"
        path.write_text(page_of(found, coverage), encoding="utf-8")
        context = browser.new_context(
            viewport={"width": width, "height": 900},
            color_scheme=scheme,
            timezone_id="America/Chicago",  # nobody's clock may change what it says
            reduced_motion="reduce",
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.on("console", lambda message: said.append(f"console {message.type}: {message.text}"))
        page.on("pageerror", lambda error: said.append(f"error: {error}"))
        page.on("dialog", lambda dialog: said.append(f"dialog: {dialog.message}"))
        page.on("request", lambda request: said.append(f"request: {request.url}"))
        page.goto(f"{path.as_uri()}{fragment}")
        assert said.pop(0).startswith("request: file://")  # the page itself
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert said == []
