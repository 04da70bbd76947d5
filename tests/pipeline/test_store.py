"""The store: entries appear whole or not at all, damage is found and mended, two processes never do one work twice."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from patience import AGES, PATIENCE
from store_entries import DAMAGE, KEY, OTHER, flip, never, write

from natfp_bench.base.errors import AttributorError, StoreError
from natfp_bench.pipeline import store as stores
from natfp_bench.pipeline.store import Store

DAY = 86_400


def tree(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.fixture
def warnings() -> list[str]:
    return []


@pytest.fixture
def store(tmp_path: Path, warnings: list[str]) -> Store:
    return Store(tmp_path / "store", warnings.append)


def test_an_entry_holds_files_meta_and_how_it_was_made(store: Store) -> None:
    entry = store.make("model", KEY, "train a", write())
    assert entry.folder == store.root / "model" / "ab" / KEY == store.folder("model", KEY)
    assert (entry.folder / "text.txt").read_text() == "hello"
    assert entry.meta == {"texts": 1, "share": 0.1, "names": ["a", "b"]}
    assert (entry.made.label, entry.made.versions["numpy"]) == ("train a", np.__version__)
    assert entry.made.seconds >= 0
    assert entry.bytes == sum(len(content) for content in tree(entry.folder).values())
    assert Store(store.root).open("model", KEY) == entry
    assert list(stores.entries(store.root)) == [entry]
    assert store.verify() == []


def test_what_was_made_is_not_made_again(store: Store) -> None:
    first = store.make("model", KEY, "", write())
    assert store.make("model", KEY, "", never) == first
    assert Store(store.root).make("model", KEY, "", never) == first
    assert store.open("model", OTHER) is None
    assert store.open("sample", KEY) is None


def test_meta_is_the_same_fresh_and_read(store: Store) -> None:
    fresh = store.make("model", KEY, "", lambda _: {"pair": (1, 2), "third": 1 / 3})
    assert fresh.meta == store.require("model", KEY).meta == {"pair": [1, 2], "third": 1 / 3}


def test_a_failing_build_leaves_nothing_and_keeps_checkpoints(store: Store) -> None:
    checkpoint = store.partial(KEY) / "checkpoint"

    def broken(folder: Path) -> dict[str, Any]:
        checkpoint.parent.mkdir(parents=True)
        checkpoint.touch()
        (folder / "half").write_text("half")
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        store.make("model", KEY, "", broken)
    assert store.open("model", KEY) is None
    assert list((store.root / "temp").iterdir()) == []
    assert checkpoint.is_file()
    store.make("model", KEY, "", write())
    assert not checkpoint.parent.exists(), "a finished entry has no use for checkpoints"


def test_meta_must_be_json(store: Store) -> None:
    with pytest.raises(ValueError, match="JSON"):
        store.make("model", KEY, "", lambda _: {"loss": float("nan")})
    assert store.open("model", KEY) is None


BUILDER = """
import sys, time
from pathlib import Path
from natfp_bench.pipeline.store import Store
root, log = Path(sys.argv[1]), Path(sys.argv[2])
def build(folder):
    with log.open("a") as file:
        file.write("built\\n")
    time.sleep(0.5)
    (folder / "text.txt").write_text("hello")
    return {}
entry = Store(root).make("model", "ab" * 32, "", build)
assert (entry.folder / "text.txt").read_text() == "hello"
"""


@pytest.mark.parametrize("damaged", [False, True])
def test_processes_that_ask_for_one_key_build_once(store: Store, tmp_path: Path, *, damaged: bool) -> None:
    if damaged:
        flip(store.make("model", KEY, "", write()))
    command = [sys.executable, "-c", textwrap.dedent(BUILDER), str(store.root), str(tmp_path / "log")]
    processes = [subprocess.Popen(command) for _ in range(3)]
    assert [process.wait(PATIENCE) for process in processes] == [0, 0, 0]
    assert (tmp_path / "log").read_text() == "built\n"
    assert store.verify() == []
    assert len(list(store.root.glob("damaged/*"))) == damaged


@pytest.mark.parametrize(("module", "name"), [(stores, "file_digest"), (os, "scandir")])
def test_an_entry_that_another_process_sets_aside_while_it_is_read_or_listed(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: Any, name: str
) -> None:
    folder = store.make("model", KEY, "", write()).folder
    other, look = Store(store.root), getattr(module, name)

    def gone_meanwhile(path: Any) -> Any:
        if folder.exists():
            folder.rename(tmp_path / "aside")
        return look(path)

    monkeypatch.setattr(module, name, gone_meanwhile)
    assert other.open("model", KEY) is None


def test_a_killed_builder_leaves_no_lock(store: Store, tmp_path: Path) -> None:
    script = BUILDER.replace("time.sleep(0.5)", f"time.sleep({AGES})")
    process = subprocess.Popen([sys.executable, "-c", script, str(store.root), str(tmp_path / "log")])
    deadline = time.monotonic() + PATIENCE
    while not (tmp_path / "log").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.kill()
    process.wait()
    [half] = store.verify()
    assert half.what == "half-written"
    assert half.path.parent == store.root / "temp"
    clock = time.monotonic()
    store.make("model", KEY, "", write())
    assert time.monotonic() - clock < PATIENCE
    assert store.verify() == [], "who holds the lock sweeps away what the dead one left"


def test_verify_leaves_alone_what_another_process_writes(store: Store, tmp_path: Path) -> None:
    script = BUILDER.replace("time.sleep(0.5)", f"time.sleep({AGES})")
    dead = store.root / "temp" / f"{OTHER}-0123"
    dead.mkdir()
    process = subprocess.Popen([sys.executable, "-c", script, str(store.root), str(tmp_path / "log")])
    deadline = time.monotonic() + PATIENCE
    while not (tmp_path / "log").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    try:
        assert len(list((store.root / "temp").iterdir())) == 2
        assert [(finding.path, finding.what) for finding in store.verify()] == [(dead, "half-written")]
    finally:
        process.kill()
        process.wait()
    assert len(store.verify()) == 2


@pytest.mark.parametrize("kind", DAMAGE)
def test_damage_is_found_set_aside_and_mended(store: Store, kind: str) -> None:
    damage, expected = DAMAGE[kind]
    entry = store.make("model", KEY, "train a", write())
    store.make("sample", OTHER, "", write("sound"))
    damage(entry)

    before = tree(store.root)
    findings = store.verify()
    assert [(finding.path, finding.what) for finding in findings] == [(entry.folder, expected)]
    assert tree(store.root) == before, "verify changes nothing"

    warned: list[str] = []
    fresh = Store(store.root, warned.append)
    remade = fresh.make("model", KEY, "train a", write())
    assert (remade.folder / "text.txt").read_text() == "hello"
    [warning] = warned
    assert expected in warning
    assert f"model/ab/{KEY}" in warning
    assert len(list((store.root / "damaged").iterdir())) == 1
    assert fresh.verify() == []
    assert store.make("model", KEY, "", never).meta == remade.meta


def test_a_damaged_entry_that_is_needed_says_what_to_do(store: Store, warnings: list[str]) -> None:
    flip(store.make("model", KEY, "", write()))
    with pytest.raises(StoreError, match="run the same command again"):
        Store(store.root).require("model", KEY)
    with pytest.raises(StoreError, match="model/cdcdcd"):
        store.require("model", OTHER)


def test_entries_skips_what_has_no_readable_manifest(store: Store) -> None:
    store.make("model", OTHER, "", write())
    for content in ("[]", "{}", "garbage"):
        entry = store.make("model", KEY, "", write())
        (entry.folder / "manifest.json").write_text(content)
        assert [found.key for found in stores.entries(store.root)] == [OTHER]
    assert list(stores.entries(store.root / "nowhere")) == []


def test_the_root_comes_from_the_environment_or_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NATFP_STORE", str(tmp_path / "given"))
    assert stores.default_root() == tmp_path / "given"
    monkeypatch.delenv("NATFP_STORE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert stores.default_root().name == "store"
    assert "natfp_bench" in stores.default_root().parts


@pytest.mark.parametrize("below", ["file", "file/store", "file/deep/store"])
def test_a_store_below_a_file_is_not_writable(tmp_path: Path, below: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="is not writable"):
        Store(tmp_path / below)


def test_a_store_that_turns_read_only_says_so(mounted: Callable[[str], Path]) -> None:
    point = mounted("size=1m")
    store = Store(point / "store")
    flip(store.make("model", KEY, "", write()))
    subprocess.run(["mount", "-o", "remount,ro", str(point)], check=True)
    with pytest.raises(StoreError, match="is not writable"):
        store.make("model", OTHER, "", write())
    store._sound.clear()
    with pytest.raises(StoreError, match="is not writable"):
        store.open("model", KEY)  # damaged, and cannot be set aside
    with pytest.raises(StoreError, match="is not writable"):
        Store(store.root)


def test_a_full_disk_keeps_what_was_finished(mounted: Callable[[str], Path]) -> None:
    store = Store(mounted("size=600k") / "store")
    first = store.make("model", KEY, "", write())

    def large(folder: Path) -> dict[str, Any]:
        (folder / "large").write_bytes(bytes(1_000_000))
        return {}

    with pytest.raises(StoreError, match="is full; what was finished is kept"):
        store.make("model", OTHER, "", large)
    assert Store(store.root).open("model", KEY) == first
    assert store.verify() == [], "the half-written folder is gone, and its space is free"
    store.make("model", OTHER, "", write())


READ_ONLY = 'Error while serializing: I/O error: Read-only file system (os error 30) at path "/store/.tmp1"'


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "is full"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "is full"),
        (RuntimeError("I/O error: No space left on device (os error 28)"), "is full"),  # as safetensors says it
        (RuntimeError(READ_ONLY), "is not writable"),
        (OSError("61440 requested and 48128 written"), "is full"),  # as NumPy does
    ],
)
def test_a_full_or_read_only_disk_is_known_however_it_is_said(store: Store, fault: Exception, said: str) -> None:
    def build(folder: Path) -> dict[str, Any]:
        raise fault

    with pytest.raises(StoreError, match=said):
        store.make("model", KEY, "", build)


def test_an_attributors_full_disk_is_not_the_stores(store: Store) -> None:
    def build(folder: Path) -> dict[str, Any]:
        raise AttributorError("fit raised OSError: [Errno 28] No space left on device")

    with pytest.raises(AttributorError):
        store.make("prediction", KEY, "", build)


def test_another_layout_is_refused(store: Store) -> None:
    (store.root / "store.json").write_text(json.dumps({"layout": stores.LAYOUT + 1}))
    with pytest.raises(StoreError, match=f"has layout {stores.LAYOUT + 1}"):
        Store(store.root)


HOSTILE = [b"", b"\0" * 20, b"garbage", b"[]", b"{}", b"7", b"null", b"\xff\xfe", b"[" * 100_000, b'{"layout": "one"}']
"""What a file of JSON may hold after a power cut, or a fault of the disk."""


@pytest.mark.parametrize("content", HOSTILE)
def test_a_damaged_layout_file_is_written_anew(store: Store, warnings: list[str], content: bytes) -> None:
    """Nothing is lost with it, and refusing would end every later run: entries have manifests of their own."""
    entry, path = store.make("model", KEY, "", write()), store.root / "store.json"
    sound = path.read_bytes()
    path.write_bytes(content)
    assert Store(store.root, warnings.append).open("model", KEY) == entry
    assert path.read_bytes() == sound
    assert warnings == [f"damaged file {path} written anew"]


def age(*paths: Path, days: float) -> None:
    for path in paths:
        os.utime(path, (time.time() - days * DAY,) * 2)


@pytest.fixture
def used(store: Store, tmp_path: Path) -> dict[str, Path]:
    """A store with old entries, one of which a result rests on, and old left-overs of every sort."""
    paths = {}
    for name, key in {"kept": KEY, "loose": OTHER, "orphan": "ef" * 32, "young": "01" * 32}.items():
        paths[name] = store.make("model", key, name, write()).folder
    result = tmp_path / "results" / "result.json"
    result.parent.mkdir()
    result.write_text("{}")
    store.refer("one", result, [KEY])
    store.refer("two", tmp_path / "results" / "deleted.json", ["ef" * 32])
    paths["reference"] = store.root / "runs" / "two.json"
    for part in ("partial", "temp", "damaged"):
        paths[part] = store.root / part / "left"
        paths[part].mkdir(parents=True)
        (paths[part] / "file").write_text("12345")
    age(*(path for name, path in paths.items() if name != "young"), days=30)
    return paths


def test_gc_removes_what_is_old_and_unused(store: Store, used: dict[str, Path]) -> None:
    gone = {name for name in used if name not in ("kept", "young")}
    before = tree(store.root)
    planned = store.gc(older_than_days=7, dry_run=True)
    assert tree(store.root) == before, "a dry run removes nothing"
    assert {path for path, _ in planned} == {used[name] for name in gone}
    assert dict(planned)[used["temp"]] == 5

    assert store.gc(older_than_days=7, dry_run=False) == planned
    assert {name for name, path in used.items() if path.exists()} == {"kept", "young"}
    assert store.make("model", KEY, "", never)
    assert store.verify() == []
    assert store.gc(older_than_days=7, dry_run=False) == []


def test_gc_keeps_what_is_young(store: Store, used: dict[str, Path]) -> None:
    assert store.gc(older_than_days=31, dry_run=False) == []
    assert {path for path, _ in store.gc(older_than_days=0, dry_run=False)} == {
        path for name, path in used.items() if name != "kept"
    }


@pytest.mark.parametrize("content", [*HOSTILE, b'{"keys": "abc", "result": "/"}', b'{"keys": [1], "result": "/"}'])
def test_gc_sets_a_damaged_reference_aside_and_keeps_every_entry_once(
    store: Store, warnings: list[str], used: dict[str, Path], content: bytes
) -> None:
    """Refusing would be for ever. The warning comes a whole cleaning before the entries go."""
    (store.root / "runs" / "one.json").write_bytes(content)
    assert [finding.what for finding in store.verify()] == ["half-written", "unreadable reference"][::-1]
    before = tree(store.root)
    planned = store.gc(older_than_days=7, dry_run=True)
    assert tree(store.root) == before
    assert store.gc(older_than_days=7, dry_run=False) == planned
    gone = ("reference", "partial", "temp", "damaged")
    assert {name for name, path in used.items() if not path.exists()} == set(gone)
    assert len(warnings) == 2
    assert "what run one rests on" in warnings[0]
    assert store.verify() == []
    assert {path for path, _ in store.gc(older_than_days=7, dry_run=False)} == {
        used[name] for name in ("kept", "loose", "orphan")
    }
