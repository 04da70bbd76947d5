"""Files that last: written whole or not at all, on the disk before they get their name, and refused in words.

The system keeps what was written in memory for half a minute. If the power goes meanwhile, a file that was renamed may
be empty, and a new folder may be gone. So everything that must outlive its program is synced here: its content, its
name, and the folders above it that are new.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from uuid import uuid4

from .errors import NatfpError, StoreError

FULL = re.compile(r"No space left on device|\d+ requested and \d+ written")
"""A full disk in the words of errors that carry no number; the second are NumPy's."""

NO_SYNC = (errno.EINVAL, errno.ENOTSUP)
"""How some file systems refuse to sync a folder: there, nothing more can be done."""

NO_SPACE = (errno.ENOSPC, errno.EDQUOT)

REFUSED = {
    errno.EACCES: "no permission",
    errno.EPERM: "no permission",
    errno.EROFS: "the disk is read-only",
    errno.ENOTDIR: "a file or a broken link is where a folder should be",
    errno.EEXIST: "a file or a broken link is where a folder should be",
    errno.EISDIR: "a folder is where a file should be",
    errno.ENAMETOOLONG: "the path is too long",
    errno.ELOOP: "its links lead in a circle",
}
"""Why a place cannot be written, by the number of the system's error."""


def refusal(number: int | None) -> str | None:
    """Say why a place cannot be used, given the number of the system's error; None if the place is not the reason."""
    return "the disk is full" if number in NO_SPACE else REFUSED.get(number or 0)


def sync(path: Path) -> None:
    """Put the content of a file, or the names in a folder, on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in NO_SYNC:
            raise
    finally:
        os.close(descriptor)


def sync_all(path: Path) -> None:
    """Put a file on the disk, or a folder with all that is in it."""
    if path.is_dir():
        for below in path.iterdir():
            sync_all(below)
    sync(path)


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, so that they last; it may be there already."""
    if not folder.is_dir():
        make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        sync(folder.parent)


def move(source: Path, target: Path) -> None:
    """Give a finished file or folder its name: after a power cut it is there whole, or not at all."""
    sync_all(source)
    make_folder(target.parent)
    source.replace(target)
    sync(target.parent)


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Write a file that appears whole or not at all: the code inside writes to another path, which is then renamed."""
    make_folder(path.parent)
    fresh = path.with_name(f".{path.name}-{uuid4().hex[:8]}.new")
    try:
        yield fresh
        move(fresh, path)
    finally:
        fresh.unlink(missing_ok=True)


def usable_folder(folder: Path, what: str) -> Path:
    """Make a folder, or find it, and try to write there; returns its absolute path.

    Raises StoreError that says why this is impossible, before anything was done for it.
    """
    folder = folder.absolute()
    try:
        str(folder).encode()
    except UnicodeEncodeError:
        raise _refused(folder, what, "its name is not UTF-8, or the locale is not") from None
    with disk_faults(folder, what):
        try:
            make_folder(folder)
            # A file without a name leaves nothing behind if this process is killed.
            TemporaryFile(dir=folder).close()
        except OSError as error:
            if refusal(error.errno):
                raise
            raise _refused(folder, what, f"nothing can be made there: {error.strerror}") from error
    return folder


@contextmanager
def disk_faults(root: Path, what: str = "store") -> Iterator[None]:
    """Turn a full disk, and a place that cannot be written, into a StoreError that says so; other errors pass."""
    try:
        yield
    except NatfpError:  # it already says what is wrong; an attributor may have filled another disk
        raise
    except Exception as error:
        # Libraries written in Rust raise errors of their own, which end in the system's number.
        number = re.search(r"\(os error (\d+)\)", str(error))
        code = error.errno if isinstance(error, OSError) else int(number[1]) if number else None
        if code in NO_SPACE or FULL.search(str(error)):
            raise StoreError(
                f"the disk of {what} {root} is full; what was finished is kept\n"
                "  make room (natfp-bench store gc) and run the same command again"
            ) from error
        if code in REFUSED:
            raise _refused(root, what, REFUSED[code], error) from error
        raise


def _refused(root: Path, what: str, why: str, error: Exception | None = None) -> StoreError:
    named = getattr(error, "filename", None)
    where = f" ({named})" if isinstance(named, str) and named != str(root) else ""
    return StoreError(f"{what} {root} is not writable: {why}{where}\n  choose another folder")
