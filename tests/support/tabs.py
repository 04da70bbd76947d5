"""A real browser for tests of the report, from the file system.

Needs Chromium (`apt-get install chromium`) and the extra `browser`. Without them the tests are skipped, or fail in CI.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from patience import PATIENCE

BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def _lacking(reason: str) -> None:
    """Skip because there is no browser; in CI, fail."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@contextmanager
def launched() -> Iterator[Any]:
    try:
        from playwright.sync_api import sync_playwright
    except ModuleNotFoundError:
        _lacking("playwright is not installed: pip install 'natfp_bench[browser]'")
    path = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if path is None:
        _lacking("there is no Chromium: apt-get install chromium")
    with sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield made
        made.close()


class Watched:
    """A tab that remembers errors and requests."""

    def __init__(self, browser: Any, **options: Any) -> None:
        self.context = browser.new_context(**options)
        self.page = self.context.new_page()
        self.page.set_default_timeout(1000 * PATIENCE)
        self.errors: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda said: said.type in ("error", "warning") and self.errors.append(said.text))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("request", lambda asked: self.requests.append(asked.url))

    def open(self, path: Path) -> Any:
        self.page.goto(path.as_uri())
        return self.page

    def draw(self) -> int:
        """Scroll to every figure and wait until it is drawn; returns how many there are."""
        figures = self.page.locator("figure.figure")
        for place in range(figures.count()):
            figures.nth(place).scroll_into_view_if_needed()
            figures.nth(place).locator(".chart svg").wait_for()
        return int(figures.count())

    @property
    def foreign(self) -> list[str]:
        return [url for url in self.requests if not url.startswith(("file:", "data:", "blob:"))]


def html_files(site: Any) -> list[Path]:
    found = sorted(site[0].rglob("*.html"))
    assert found
    return found


def task_page(site: Any, name: str) -> Path:
    return next(path for path in html_files(site) if path.parent.name == "tasks" and name in path.name)


def address(page: Any) -> str:
    """What stands after the address of a page, as the page itself has it now."""
    return str(page.evaluate("location.hash"))
