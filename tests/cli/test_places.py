"""Every path that a user names is tried before work starts: one message says why it cannot be used."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from natfp_bench.pipeline.local_engine import LocalEngine

Natfp = Callable[..., tuple[int, str, str]]

PLACES = ["file", "file/deep", "lost", "/proc/nope", "/proc/nope/deep", "x" * 300]
"""A file, below a file, a link to nothing, where no folder can be made, and a name that is too long."""

RUN = ("run", "--task", "seed_id", "--preset", "smoke")

WRITING = {
    "run --store": (*RUN, "-o", "out", "--store", "PLACE"),
    "run -o": (*RUN, "--store", "store", "-o", "PLACE"),
    "run --fixed-texts -o": ("run", "--fixed-texts", "--task", "lr_id", "--store", "store", "-o", "PLACE"),
    "curve --store": ("curve", *RUN[1:], "--texts", "20,40", "-o", "out", "--store", "PLACE"),
    "curve -o": ("curve", *RUN[1:], "--texts", "20,40", "--store", "store", "-o", "PLACE"),
    "run --include-path": (*RUN, "--include-path", "PLACE"),
    "run --baseline": (*RUN, "--baseline", "./PLACE"),
    "export -o": ("export", "RESULT", "--format", "csv", "--store", "KNOWN", "-o", "PLACE"),
    "export --store": ("export", "RESULT", "--format", "csv", "--store", "PLACE", "-o", "out"),
    "report -o": ("report", "RESULT", "--store", "KNOWN", "-o", "PLACE"),
    "report --figures": ("report", "RESULT", "--store", "KNOWN", "--only", "index-factors", "--figures", "PLACE"),
    "report md": ("report", "RESULT", "--format", "md", "-o", "PLACE/x.md"),
    "leaderboard": ("leaderboard", "RESULT", "--json", "-o", "PLACE/x.json"),
    "regress --update": ("regress", "--results", "RESULT", "--update", "--reference", "PLACE/ref.parquet"),
    "regress": ("regress", "--results", "RESULT", "--reference", "PLACE/ref.parquet"),
    "identify": ("identify", "text.txt", "--result", "RESULT", "--store", "PLACE"),
    "baseline new": ("baseline", "new", "mine", "-o", "PLACE"),
    "baseline submit -o": ("baseline", "submit", "majority", "--compare", "SCORES", "--store", "store", "-o", "PLACE"),
    "baseline submit --store": ("baseline", "submit", "majority", "--compare", "SCORES", "--store", "PLACE"),
    "store verify": ("store", "verify", "--store", "PLACE"),
    "store gc": ("store", "gc", "--store", "PLACE"),
}

READING = {
    "show": ("show", "seed_id", "--preset", "smoke", "--store", "PLACE"),
    "run --dry-run": (*RUN, "--dry-run", "--store", "PLACE"),
    "store ls": ("store", "ls", "--store", "PLACE"),
}


@pytest.fixture
def asked(natfp: Natfp, bench: Any, seed_run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Natfp:
    """Call a command with a place in it; any job is a failure."""
    from natfp_bench.base import resources

    monkeypatch.setattr(LocalEngine, "run", lambda *_: pytest.fail("work has started"))
    (tmp_path / "file").write_text("mine")
    (tmp_path / "lost").symlink_to(tmp_path / "nothing" / "here")
    (tmp_path / "text.txt").write_text("the miller sold a boat\n")
    scores = resources.baselines() / "majority" / "results.json"
    given = {"RESULT": str(seed_run[1]), "KNOWN": str(bench.store), "SCORES": str(scores)}

    def call(command: tuple[str, ...], place: str) -> tuple[int, str, str]:
        return natfp(*(given.get(part, part).replace("PLACE", place) for part in command))

    return call


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("command", WRITING)
def test_a_place_that_cannot_be_used_is_one_message(asked: Natfp, tmp_path: Path, command: str, place: str) -> None:
    code, _, err = asked(WRITING[command], place)
    assert code == 2
    assert err.count("error: ") == 1
    assert place[:100] in err or "nothing/here" in err, "the place, or where its link leads"
    assert "\n  " in err, "how to mend it"
    assert (tmp_path / "file").read_text() == "mine"
    assert not (tmp_path / "nothing").exists()


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("command", READING)
def test_who_only_looks_at_a_store_needs_none(asked: Natfp, command: str, place: str) -> None:
    code, out, err = asked(READING[command], place)
    assert (code, err) == (0, "") or (code == 2 and err.startswith("error: ")), out


@pytest.mark.parametrize("command", [*WRITING, *READING])
def test_a_place_without_permission_is_one_message(
    asked: Natfp, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command: str
) -> None:
    """As for a user who is not root: nothing below the folder can be seen, made or read."""
    (tmp_path / "secret").mkdir()

    def refused(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(path: Any, *arguments: Any, **options: Any) -> Any:
            if Path(path).absolute().is_relative_to(tmp_path / "secret") and Path(path).name != "secret":
                raise PermissionError(13, "Permission denied", str(path))
            return real(path, *arguments, **options)

        return call

    for place, name in ((Path, "stat"), (os, "mkdir")):
        monkeypatch.setattr(place, name, refused(getattr(place, name)))
    code, _, err = asked((WRITING | READING)[command], "secret/below")
    assert code == 2
    assert err.count("error: ") == 1
    assert "secret/below" in err
