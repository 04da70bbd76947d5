"""A browser, and two sites: one of ordinary results, and one whose names and texts are markup.

A site is its folder and its pages.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from report_sites import hostile, ordinary
from tabs import Watched, launched


@pytest.fixture(scope="session")
def site(bench: Any, seed_run: Any, rate_run: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("report")
    return folder / "site", ordinary(bench, [seed_run[1], rate_run[1]], folder)


@pytest.fixture(scope="session")
def attacked(bench: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("hostile")
    return folder / "site", hostile(bench, folder)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with launched() as made:
        yield made


@pytest.fixture
def tab(browser: Any) -> Iterator[Watched]:
    made = Watched(browser)
    yield made
    made.context.close()
