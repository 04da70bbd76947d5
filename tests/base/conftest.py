"""What tests of files share."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, so that places are shown as `file:line`."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
