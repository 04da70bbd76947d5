"""The store: what a stage made, under the digest of everything that determined it.

    <root>/store.json                        layout version
    <root>/<kind>/<key[:2]>/<key>/           an entry: its files, and manifest.json, written last
    <root>/partial/<key>/                    checkpoints of unfinished work
    <root>/temp/, locks/, damaged/, runs/    folders being made; one lock per key; damaged entries; what each run needs
    <root>/logs/                             what jobs wrote to standard output and error

An entry appears by one atomic rename, and lasts from then on, also if the power is cut: this takes about five syncs, 20
to 30 ms on a virtual disk. A damaged entry is set aside and made anew. Nothing here is pickled.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from operator import index
from pathlib import Path
from typing import Any
from uuid import uuid4

from filelock import FileLock, Timeout
from platformdirs import user_cache_path
from pydantic import Field

from natfp_bench.base import disk
from natfp_bench.base.environment import versions
from natfp_bench.base.errors import StoreError
from natfp_bench.base.records import Record, canonical_json, digest, file_digest

LAYOUT = 1
NO_KINDS = frozenset({"compiled", "damaged", "locks", "logs", "partial", "runs", "temp"})
"""Folders of a store that hold no entries; every other folder holds those of one kind."""

UNREADABLE = (ValueError, KeyError, TypeError, RecursionError)
"""What reading JSON raises if a file was damaged, whatever it holds now."""

Warn = Callable[[str], None]


class Made(Record):
    """How an entry was made, which is never hashed: what people call it, when, in how long, by which versions."""

    label: str
    at: str
    seconds: float
    versions: dict[str, str] = Field({})


@dataclass(frozen=True)
class Entry:
    """One finished entry: its folder, what its stage noted of it, and how it was made."""

    kind: str
    key: str
    folder: Path
    meta: dict[str, Any]
    made: Made

    @property
    def bytes(self) -> int:
        """Size on disk."""
        return _size(self.folder)


class Reference(Record):
    """What a run left in runs/: where its result is, and the keys of all entries that this rests on."""

    result: Path
    keys: tuple[str, ...]


@dataclass(frozen=True)
class StoreFault:
    """What `verify` found wrong at one place."""

    path: Path
    what: str


def default_root() -> Path:
    """$NATFP_STORE, or else a folder in the user's cache."""
    given = os.environ.get("NATFP_STORE")
    return Path(given).expanduser() if given else user_cache_path("natfp_bench", appauthor=False) / "store"


def entry_folder(root: Path, kind: str, key: str) -> Path:
    """Folder of an entry in a store, whether or not the entry exists."""
    return root / kind / key[:2] / key


def kinds(root: Path) -> list[str]:
    """Kinds of entries that a store holds, sorted."""
    return sorted(path.name for path in root.glob("*") if path.is_dir() and path.name not in NO_KINDS)


def entries(root: Path, only: Sequence[str] | None = None) -> Iterator[Entry]:
    """Walk the entries of a store that have a readable manifest, by kind and key; nothing is written."""
    for kind in only or kinds(root):
        for folder in sorted((root / kind).glob("*/*")):
            try:
                manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
                yield Entry(kind, folder.name, folder, manifest["meta"], Made.model_validate(manifest["made"]))
            except (OSError, *UNREADABLE):
                continue


def _manifest_digest(manifest: dict[str, Any]) -> str:
    return digest({name: manifest[name] for name in ("kind", "key", "meta", "files")})


def _reference(path: Path) -> Reference | None:
    """Read a reference; None where it is damaged."""
    try:
        return Reference.model_validate_json(path.read_bytes())
    except (OSError, ValueError):
        return None


def _size(path: Path) -> int:
    """Bytes of a file or of a folder's files; files that another process removes meanwhile count as empty."""
    total = 0
    for file in [path] if path.is_file() else path.rglob("*"):
        with suppress(FileNotFoundError):
            total += file.stat().st_size if file.is_file() else 0
    return total


class Store:
    """A content-addressed store on a local or shared POSIX path, safe for many processes at once."""

    def __init__(self, root: Path, warn: Warn = lambda _: None) -> None:
        """Open or create a store; raises StoreError where it cannot be written or is of a newer layout."""
        self.root, self.warn = root.absolute(), warn
        self._sound: set[str] = set()
        disk.usable_folder(self.root, "store")
        with disk.disk_faults(self.root):
            (self.root / "temp").mkdir(exist_ok=True)
            found = self._layout()
        if found != LAYOUT:
            raise StoreError(
                f"store {self.root} has layout {found}, this version knows {LAYOUT}\n  use another --store"
            )

    def _layout(self) -> int:
        """Read the layout. If its file is damaged, it is written anew: entries are verified by their own manifests."""
        path = self.root / "store.json"
        try:
            return index(json.loads(path.read_bytes())["layout"])
        except FileNotFoundError:
            pass
        except UNREADABLE:
            self.warn(f"damaged file {path} written anew")
        self._write(path, "layout", canonical_json({"layout": LAYOUT}))
        return LAYOUT

    def folder(self, kind: str, key: str) -> Path:
        """Folder of an entry, whether or not the entry exists."""
        return entry_folder(self.root, kind, key)

    def partial(self, key: str) -> Path:
        """Folder for the checkpoints of unfinished work."""
        return self.root / "partial" / key

    @property
    def logs(self) -> Path:
        """Folder for what jobs write to standard output and error."""
        return self.root / "logs"

    def keep_kernels(self) -> None:
        """Have torch's compiler keep what it makes in the store, for other processes and later runs.

        It syncs nothing, so a power cut may tear its files: those of an earlier start of the machine stay unused.
        """
        start = Path("/proc/sys/kernel/random/boot_id")
        name = start.read_text(encoding="utf-8").strip() if start.exists() else "any"
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(self.root / "compiled" / name)

    def open(self, kind: str, key: str) -> Entry | None:
        """Find a finished, undamaged entry; a damaged one is set aside with a warning."""
        entry, wrong = self._read(kind, key)
        if wrong:
            with disk.disk_faults(self.root), self._lock(key):
                return self._open_locked(kind, key)
        return entry

    def _open_locked(self, kind: str, key: str) -> Entry | None:
        # Read again: while this process waited for the lock, another one may have remade the entry.
        entry, wrong = self._read(kind, key)
        if not wrong:
            return entry
        folder = self.folder(kind, key)
        aside = self._set_aside(folder)
        self.warn(f"damaged store entry {folder.relative_to(self.root)} ({wrong}) set aside in {aside}; remade")
        return None

    def _set_aside(self, path: Path) -> Path:
        """Move what is damaged to a folder for that, which is returned."""
        aside = self.root / "damaged"
        aside.mkdir(exist_ok=True)
        path.rename(aside / f"{path.name}-{uuid4().hex[:8]}")
        return aside

    def _lock(self, key: str) -> FileLock:
        (self.root / "locks").mkdir(exist_ok=True)
        return FileLock(self.root / "locks" / f"{key}.lock")

    def _read(self, kind: str, key: str) -> tuple[Entry | None, str]:
        """Read an entry, if it is there, and say what is wrong with it; files are hashed once per process."""
        folder = self.folder(kind, key)
        if not folder.exists():
            return None, ""
        try:
            manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
            entry = Entry(kind, key, folder, manifest["meta"], Made.model_validate(manifest["made"]))
            if manifest["key"] != key or manifest["kind"] != kind:
                return None, "the manifest is another entry's"
            if manifest["digest"] != _manifest_digest(manifest):
                return None, "the manifest has changed"
            files = manifest["files"]
        except FileNotFoundError:
            return None, "no manifest"
        except (OSError, *UNREADABLE):
            return None, "unreadable manifest"
        if key in self._sound:
            return entry, ""
        try:
            present = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
        except FileNotFoundError:  # another process sets the entry aside just now
            return entry, "the folder is gone"
        for name, expected in files.items():
            try:
                if file_digest(folder / name) != expected:
                    return entry, f"{name} has changed"
            except FileNotFoundError:  # never written, or another process sets the entry aside just now
                return entry, f"{name} is missing"
        if foreign := sorted(present - files.keys() - {"manifest.json"}):
            return entry, f"foreign file {foreign[0]}"
        self._sound.add(key)
        return entry, ""

    def require(self, kind: str, key: str) -> Entry:
        """Find an entry that must be there; raises StoreError where it is not."""
        entry = self.open(kind, key)
        if entry is None:
            raise StoreError(f"store entry {kind}/{key[:12]} is gone\n  run the same command again: it is remade")
        return entry

    def make(self, kind: str, key: str, label: str, build: Callable[[Path], dict[str, Any]]) -> Entry:
        """Find an entry or make it: `build` fills a folder and returns the entry's meta (JSON).

        One lock per key: of two processes that ask for the same work, one does it and the other waits.
        """
        if found := self.open(kind, key):
            return found
        with disk.disk_faults(self.root), self._lock(key):
            if found := self._open_locked(kind, key):
                return found
            temp = self._fresh(key)
            temp.mkdir()
            try:
                return self._fill(temp, kind, key, label, build)
            finally:
                shutil.rmtree(temp, ignore_errors=True)

    def _fresh(self, name: str) -> Path:
        """Path in temp/ for who holds the lock of a name; what was begun under it before is swept away."""
        for half in (self.root / "temp").glob(f"{name}-*"):  # whoever began it has lost the lock: it was killed
            shutil.rmtree(half, ignore_errors=True) if half.is_dir() else half.unlink(missing_ok=True)
        return self.root / "temp" / f"{name}-{uuid4().hex[:8]}"

    def _write(self, path: Path, name: str, text: str) -> None:
        """Write a file that appears whole or not at all."""
        with self._lock(name):
            fresh = self._fresh(name)
            fresh.write_text(text, encoding="utf-8")
            disk.move(fresh, path)

    def _fill(self, temp: Path, kind: str, key: str, label: str, build: Callable[[Path], dict[str, Any]]) -> Entry:
        clock = time.perf_counter()
        meta = json.loads(canonical_json(build(temp)))
        files = {
            path.relative_to(temp).as_posix(): file_digest(path) for path in sorted(temp.rglob("*")) if path.is_file()
        }
        made = Made(
            label=label,
            at=datetime.now(UTC).isoformat(timespec="seconds"),
            seconds=round(time.perf_counter() - clock, 3),
            versions=versions(),
        )
        manifest = {"kind": kind, "key": key, "meta": meta, "files": files, "made": made.model_dump()}
        manifest["digest"] = _manifest_digest(manifest)
        (temp / "manifest.json").write_text(
            json.dumps(manifest, sort_keys=True, indent=1, allow_nan=False), encoding="utf-8"
        )
        folder = self.folder(kind, key)
        disk.move(temp, folder)
        self._sound.add(key)
        shutil.rmtree(self.partial(key), ignore_errors=True)
        return Entry(kind, key, folder, meta, made)

    def verify(self) -> list[StoreFault]:
        """Hash every file of every entry; returns what is wrong, changing nothing."""
        findings = []
        for path in self._places():
            kind, *_ = path.relative_to(self.root).parts
            self._sound.discard(path.name)
            if path != self.folder(kind, path.name):
                findings.append(StoreFault(path, "no entry belongs here"))
            elif wrong := self._read(kind, path.name)[1]:
                findings.append(StoreFault(path, wrong))
        findings += [
            StoreFault(path, "unreadable reference") for path in self._references() if _reference(path) is None
        ]
        temp = sorted((self.root / "temp").glob("*"))
        findings += [StoreFault(path, "half-written") for path in temp if not self._at_work(path)]
        # What is gone by now was no fault: other processes may be at work.
        return [finding for finding in findings if finding.path.exists()]

    def _at_work(self, half: Path) -> bool:
        """Whether another process writes at a path in temp/ just now: then it holds the lock of the name."""
        lock = self._lock(half.name.rpartition("-")[0])
        try:
            # The process that made this path made its lock first. So if there is no lock, no process is at work here.
            if Path(lock.lock_file).exists():
                lock.acquire(blocking=False)
                lock.release()
        except Timeout:
            return True
        return False

    def _places(self) -> list[Path]:
        """List whatever lies where entries do, files between their folders too."""
        folders = [self.root / kind for kind in kinds(self.root)]
        found = [path for folder in folders for path in folder.glob("*/*")]
        return sorted([*found, *(path for folder in folders for path in folder.glob("*") if path.is_file())])

    def _references(self) -> list[Path]:
        return sorted((self.root / "runs").glob("*.json"))

    def refer(self, run_id: str, result: Path, keys: list[str]) -> None:
        """Note which entries a result rests on, so that `gc` keeps them while the result exists."""
        with disk.disk_faults(self.root):
            content = Reference(result=result.absolute(), keys=tuple(sorted(keys)))
            self._write(self.root / "runs" / f"{run_id}.json", "run", content.model_dump_json())

    def gc(self, *, older_than_days: float, dry_run: bool) -> list[tuple[Path, int]]:
        """Remove what no existing result rests on; returns (path, bytes) of each thing removed.

        What is younger than `older_than_days` stays: it may belong to a run that was interrupted, or that goes on now.
        A damaged reference says no more what its run rests on. It is set aside with a warning, and this time every
        finished entry stays: if the run's command is run again before the next time, its entries are kept.
        """
        used: set[str] = set()
        parts = ("partial", "temp", "damaged", "compiled", "logs")
        unused = [path for part in parts for path in sorted((self.root / part).glob("*"))]
        damaged = []
        for reference in self._references():
            found = _reference(reference)
            if found is None:
                damaged.append(reference)
            elif found.result.exists():
                used.update(found.keys)
            else:
                unused.append(reference)
        # Only finished entries are kept for being used; checkpoints are not, since a used entry is finished.
        if not damaged:
            unused += [path for path in self._places() if path.name not in used]
        for reference in damaged:
            self._give_up(reference, dry_run=dry_run)
        horizon = time.time() - older_than_days * 86_400
        removed: list[tuple[Path, int]] = []
        for path in unused:
            with disk.disk_faults(self.root), suppress(FileNotFoundError):  # gone: other processes may be at work
                if path.stat().st_mtime > horizon:
                    continue
                removed.append((path, _size(path)))
                if not dry_run:
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
        return removed

    def _give_up(self, reference: Path, *, dry_run: bool) -> None:
        """Set a damaged reference aside, and say what this means for its run."""
        self.warn(
            f"damaged reference {reference}: unknown what run {reference.stem} rests on, so all finished entries stay\n"
            "  to keep the entries of that run, run its command again; the next gc removes what no other run uses"
        )
        if not dry_run:
            with disk.disk_faults(self.root), suppress(FileNotFoundError):
                self._set_aside(reference)
