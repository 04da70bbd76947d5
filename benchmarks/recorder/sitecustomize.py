"""Python runs this at the start of every process of a recorded run: what reaches the disk is written down, in order.

CHAOS_WATCHED names the folder that is watched, CHAOS_RECORD the folder for the record: a line for each operation, with
all names and files as they are then, and a copy of each file as it was when it was synced.
"""

from __future__ import annotations

import fcntl
import functools
import json
import os
import shutil
from collections.abc import Callable
from typing import Any

RECORD, WATCHED = os.environ.get("CHAOS_RECORD", ""), os.environ.get("CHAOS_WATCHED", "")


def names(folder: str) -> dict[str, list[Any]]:
    """Each name in a folder: number of its file or folder, whether it is a folder, and what its content is called."""
    found = {}
    with os.scandir(folder) as listed:
        for one in listed:
            try:
                at = one.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
            found[one.name] = [at.st_ino, one.is_dir(), content_name(at), at.st_size]
    return found


def content_name(at: os.stat_result) -> str:
    """Name of the content of a file: it changes with every change of the file."""
    return f"{at.st_ino}-{at.st_size}-{at.st_mtime_ns}"


def tree() -> dict[int, dict[str, list[Any]]]:
    """The names in every folder, by the folder's number."""
    found, waiting = {}, [WATCHED]
    while waiting:
        folder = waiting.pop()
        try:
            here = found[os.stat(folder).st_ino] = names(folder)
        except FileNotFoundError:
            continue
        waiting += [os.path.join(folder, name) for name, (_, is_folder, *_) in here.items() if is_folder]
    return found


def note(**facts: Any) -> None:
    """Write down an operation, after those that other processes have written down."""
    with open(os.path.join(RECORD, "log"), "a") as log:
        fcntl.flock(log, fcntl.LOCK_EX)
        log.write(json.dumps({**facts, "tree": tree()}) + "\n")


def synced(descriptor: int) -> None:
    """Note what a sync has put on the disk: the content of a file, or the names in a folder."""
    path = os.readlink(f"/proc/self/fd/{descriptor}")
    if not path.startswith(WATCHED):
        return
    at = os.fstat(descriptor)
    if os.path.isdir(path):
        note(synced=at.st_ino, names=names(path))
    else:
        shutil.copyfile(path, os.path.join(RECORD, content_name(at)))
        note(content=content_name(at))


def changed(path: Any, *_: Any, made: bool = False, **__: Any) -> None:
    """Note that names have changed; made: a folder is new, and nothing is known of it."""
    if os.fsdecode(path).startswith(WATCHED):
        note(**({"made": os.stat(path).st_ino} if made else {}))


def watch(name: str, then: Callable[..., None]) -> None:
    """Call a function after each call of one of the system."""
    real = getattr(os, name)

    @functools.wraps(real)
    def call(*arguments: Any, **options: Any) -> Any:
        value = real(*arguments, **options)
        then(*arguments)
        return value

    setattr(os, name, call)


if RECORD:
    watch("fsync", synced)
    watch("mkdir", functools.partial(changed, made=True))
    for operation in ("rename", "replace", "unlink", "remove", "rmdir"):
        watch(operation, changed)
