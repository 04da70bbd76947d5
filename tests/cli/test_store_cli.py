"""`natfp-bench store verify` names each damage and its place; `store gc` keeps what results rest on."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from store_entries import DAMAGE, KEY, OTHER, never, write

from natfp_bench.pipeline.store import Store

Natfp = Callable[..., tuple[int, str, str]]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store of two sound entries, on one of which a result rests."""
    made = Store(tmp_path / "store")
    made.make("model", KEY, "train a", write())
    made.make("sample", OTHER, "sample a", write("sound"))
    (tmp_path / "result.json").write_text("{}")
    made.refer("one", tmp_path / "result.json", [KEY])
    return made


def test_a_sound_store_has_no_findings(natfp: Natfp, store: Store) -> None:
    code, said, _ = natfp("store", "verify", "--store", store.root)
    assert (code, said) == (0, "2 entries, 0 findings\n")


def test_verify_names_a_damaged_entry(natfp: Natfp, store: Store) -> None:
    damage, expected = DAMAGE["flipped bit"]
    entry = store.require("model", KEY)
    damage(entry)
    code, said, _ = natfp("store", "verify", "--store", store.root)
    found, total = said.splitlines()
    assert code == 1
    assert found == f"{entry.folder}: {expected}"
    assert total.endswith(", 1 findings")


def _copy(root: Path, place: Path) -> None:
    shutil.copytree(root / "model" / KEY[:2] / KEY, place)


def _touch(_: Path, place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.touch()


FOREIGN: dict[str, tuple[str, Callable[[Path, Path], None], str]] = {
    "under a wrong key": (f"model/{OTHER[:2]}/{OTHER}", _copy, "the manifest is another entry's"),
    "of a wrong kind": (f"sample/{KEY[:2]}/{KEY}", _copy, "the manifest is another entry's"),
    "in a wrong folder": (f"model/ff/{KEY}", _copy, "no entry belongs here"),
    "a folder without a manifest": ("model/ff/ff/file", _touch, "no manifest"),
    "a file beside entries": (f"model/{KEY[:2]}/notes", _touch, "no entry belongs here"),
    "a file above entries": ("model/notes", _touch, "no entry belongs here"),
    "half-written": (f"temp/{KEY}-1234/file", _touch, "half-written"),
    "unreadable reference": ("runs/two.json", _touch, "unreadable reference"),
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_verify_names_what_belongs_nowhere(natfp: Natfp, store: Store, kind: str) -> None:
    place, plant, expected = FOREIGN[kind]
    plant(store.root, store.root / place)
    code, said, _ = natfp("store", "verify", "--store", store.root)
    [found] = said.splitlines()[:-1]
    named, what = found.split(": ")
    assert code == 1
    assert what == expected
    assert (store.root / place).is_relative_to(named)


def test_gc_keeps_what_a_result_rests_on_and_no_more(natfp: Natfp, store: Store, tmp_path: Path) -> None:
    """Left behind: an entry of no result, and a checkpoint whose training was killed as it ended."""
    checkpoint = store.partial(KEY) / "checkpoint.safetensors"
    _touch(store.root, checkpoint)
    assert natfp("store", "gc", "--store", store.root)[0] == 0
    assert store.open("sample", OTHER), "younger than a week"
    code, said, _ = natfp("store", "gc", "--older-than", "0", "--store", store.root)
    assert code == 0
    assert [line.split(": ")[0] for line in said.splitlines()[:-1]] == [
        str(checkpoint.parent),
        str(store.folder("sample", OTHER)),
    ]
    assert store.make("model", KEY, "", never)
    assert natfp("store", "verify", "--store", store.root)[0] == 0

    (tmp_path / "result.json").unlink()
    assert natfp("store", "gc", "--older-than", "0", "--store", store.root)[0] == 0
    assert store.open("model", KEY) is None
