"""A sandbox of the system, by bubblewrap: no network, no files but the libraries, no environment, limits by the kernel.

Without it a classifier still has a process of its own, but all rights of the user who started the run.
"""

from __future__ import annotations

import functools
import json
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from natfp_bench.base import resources
from natfp_bench.base.errors import UserError, unknown

from . import system_calls
from .code_digest import PACKAGE
from .registry import Baseline

MODES = ("auto", "on", "off")

VARIABLE = "NATFP_SANDBOX"

PROGRAM = "bwrap"

TEMPORARY = "/tmp"  # noqa: S108  a file system of the sandbox's own
SHARED_MEMORY = "/dev/shm"  # noqa: S108

SYSTEM = ("/usr", "/lib", "/lib32", "/lib64", "/libx32", "/bin", "/sbin")
FACTS = (
    *("/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/alternatives", "/etc/localtime"),
    "/sys/devices/system/cpu",
)
"""What a program needs of the system: its libraries, and facts about itself."""

NUMERIC = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "MKL_CBWR")
"""Variables that the last digits of sums depend on: the only ones that a sandboxed process shares with the run."""

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS")

FIRST_USER = 0x70000000
"""User ids from here on belong to no account. A run by root gives each sandbox one of them."""

SERVE = """
import json, sys
sys.path[:] = json.loads(sys.argv[1])
from natfp_bench.attributors import boxed
boxed.main(*json.loads(sys.argv[2]))
"""
"""What an interpreter of its own runs; its arguments are the search path, and those of `boxed.main`."""


def check_mode(mode: str) -> None:
    """Raise UserError for an unknown mode, or if a sandbox is demanded that cannot be had."""
    if mode not in MODES:
        raise unknown("sandbox mode", mode, MODES)
    if mode == "on" and (why := missing()):
        raise UserError(f"--sandbox on: no sandbox can be had here: {why}")


def applies(mode: str, baseline: Baseline) -> bool:
    """Whether a baseline runs in a sandbox: in mode `auto` where one can be had, unless it is bundled.

    The variable NATFP_SANDBOX may say what `auto` means.
    """
    mode = os.environ.get(VARIABLE, mode) if mode == "auto" else mode
    if mode not in MODES:
        raise unknown(f"sandbox mode in {VARIABLE}", mode, MODES)
    if mode != "auto":
        return mode == "on"
    return baseline.folder.parent != resources.baselines() and missing() is None


@functools.cache
def missing() -> str | None:
    """Why no sandbox can be had, None if it can; it is tried once per process."""
    if sys.platform != "linux" or shutil.which(PROGRAM) is None:
        return "bubblewrap is not installed\n  apt-get install bubblewrap, or the like"
    if not system_calls.known():
        return f"the system calls of {os.uname().machine} are not known"
    # As root with another user's rights, and otherwise in a namespace: the ways in which it will be used.
    run = "import os; os.setuid(1) if os.getuid() == 0 else 0"
    try:
        tried = start([sys.executable, "-I", "-c", run], PACKAGE, (), 64, stderr=subprocess.PIPE)
    except OSError as error:
        return f"{PROGRAM} fails ({error})"
    with tried:
        try:
            said = tried.communicate(timeout=60)[1].decode(errors="replace").strip().splitlines()
        except subprocess.TimeoutExpired as error:
            tried.kill()
            return f"{PROGRAM} fails ({error})"
    return f"{PROGRAM} fails ({said[-1] if said else tried.returncode})" if tried.returncode else None


def start(
    arguments: Sequence[str],
    folder: Path,
    hidden: Sequence[Path],
    memory_mb: int,
    readable: Sequence[Path] = (),
    *,
    keep: Sequence[int] = (),
    **options: Any,
) -> subprocess.Popen[bytes]:
    """Start a program in a sandbox; keep: file descriptors that it inherits; the others are as of `command`."""
    reading, writing = os.pipe()
    try:
        with os.fdopen(writing, "wb") as pipe:
            pipe.write(system_calls.program())  # fits into the pipe
        before = [*command(folder, hidden, memory_mb, readable), "--seccomp", str(reading), "--"]
        return subprocess.Popen([*before, *arguments], pass_fds=[reading, *keep], **options)
    finally:
        os.close(reading)


def command(folder: Path, hidden: Sequence[Path], memory_mb: int, readable: Sequence[Path] = ()) -> list[str]:
    """The command that starts a sandbox, but for the filter of system calls.

    folder: of the classifier. hidden: folders that it must not see, wherever they are. memory_mb: most that it may keep
    in temporary files. readable: further files and folders that it may read, also inside of hidden ones.
    """
    room = ["--perms", "1777", "--size", str(memory_mb * 2**20), "--tmpfs"]
    # Root needs no namespace of users, and in one it would stay root to the limits of the kernel.
    alone = ["--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts", "--unshare-cgroup-try"]
    rights = ["--cap-drop", "ALL", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
    private = [*alone, *rights] if os.getuid() == 0 else ["--unshare-all", "--unshare-user", "--disable-userns"]
    made = [PROGRAM, *private, "--die-with-parent", "--new-session", "--clearenv"]
    made += [part for name, value in _variables() for part in ("--setenv", name, value)]
    made += ["--proc", "/proc", "--dev", "/dev", *room, SHARED_MEMORY, "--remount-ro", "/dev", *room, TEMPORARY]
    shown = [path for path in _shown(folder) if path.exists()]
    for path in [Path(name) for name in SYSTEM]:
        if path.is_symlink():
            made += ["--symlink", os.readlink(path), str(path)]
    # The folders above what is shown are made by root, and would be its own alone.
    given = [path.absolute() for path in readable]
    for path in sorted({above for place in (*shown, *given) for above in place.parents}):
        made += ["--perms", "0755", "--dir", str(path)]
    for path in shown:
        made += ["--ro-bind", str(path), str(path)]
    for secret in (resources.fixed_texts(), *hidden):
        if any(secret.is_relative_to(place) for place in shown) and secret.is_dir():
            inside = [path for path in given if path.is_relative_to(secret)]
            made += ["--tmpfs", str(secret), *_read_only(inside), "--remount-ro", str(secret)]
            given = [path for path in given if path not in inside]
    made += _read_only(given)
    return [*made, "--remount-ro", "/", "--chdir", TEMPORARY]


def _read_only(paths: Sequence[Path]) -> list[str]:
    return [part for path in paths for part in ("--ro-bind", str(path), str(path))]


def _shown(folder: Path) -> Iterator[Path]:
    """What a sandboxed process sees: system, interpreter, installed packages, this package, and the classifier."""
    for name in SYSTEM:
        if not Path(name).is_symlink():
            yield Path(name)
    yield from map(Path, FACTS)
    for place in sorted({sys.base_prefix, sys.prefix, sys.exec_prefix} - {"/usr"}):
        yield Path(place)
    for place in filter(None, sys.path):
        if Path(place).name in ("site-packages", "dist-packages"):
            yield Path(place)
        elif folder.is_relative_to(place) and folder != Path(place):
            above = Path(place) / folder.relative_to(place).parts[0]
            if (above / "__init__.py").is_file():  # the package that the classifier is part of
                yield above
    yield from (PACKAGE, resources.baselines(), folder)


def _variables() -> Iterator[tuple[str, str]]:
    yield from (("PATH", "/usr/bin:/bin"), ("HOME", TEMPORARY), ("LANG", "C.UTF-8"), ("USER", "nobody"))
    yield from (("HF_HUB_OFFLINE", "1"), ("PYTHONHASHSEED", "0"))
    yield from ((name, "1") for name in THREADS)
    yield from ((name, os.environ[name]) for name in NUMERIC if name in os.environ)


def user() -> int | None:
    """The user that a sandboxed process of root's becomes: one of its own, so that limits count it alone."""
    return FIRST_USER + secrets.randbelow(2**24) if os.getuid() == 0 else None


def interpreter(number: int, memory_mb: int | None) -> list[str]:
    """The command of a server (`boxed.main`); memory_mb: None where nothing is limited."""
    become = None if memory_mb is None else user()
    return [sys.executable, "-I", "-B", "-c", SERVE, json.dumps(sys.path), json.dumps([number, become, memory_mb])]
