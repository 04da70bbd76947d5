"""Checkpoints of the Hub that cannot be had: what is said, and how often the Hub is asked."""

from __future__ import annotations

from typing import Any

import pytest

from natfp_bench.base.errors import UserError
from natfp_bench.models import checkpoint_files
from natfp_bench.plan.text_settings import SourceSpec


def test_a_path_without_a_folder_is_no_id_of_the_hub() -> None:
    for name in ("path/to/one", "a/b/c/d", "C:\\models\\one", "two words/x"):
        with pytest.raises(UserError, match="no such folder, and no id of the Hub") as caught:
            checkpoint_files.require([SourceSpec(kind="checkpoint", model=name)])
        assert name in str(caught.value)
        assert "hf download" not in str(caught.value)


def test_a_hub_that_does_not_answer_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    asked = []

    class Session:
        def head(self, address: str, **_: Any) -> None:
            asked.append(address)
            raise OSError("[Errno -3] Temporary failure in name resolution")

    monkeypatch.setattr(huggingface_hub, "get_session", Session)
    checkpoint_files.online.cache_clear()
    specs = [SourceSpec(kind="checkpoint", model=f"nobody/model-{letter}") for letter in "abc"]
    try:
        with pytest.raises(UserError, match="3 checkpoints are not available") as caught:
            checkpoint_files.require(specs)
    finally:
        checkpoint_files.online.cache_clear()
    assert str(caught.value).count("not in the cache, and the Hub cannot be reached") == 3
    assert len(asked) == 1
