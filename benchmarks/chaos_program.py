"""Real runs in their own processes, and the ways to disturb them at random moments."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psutil
from chaos_judge import Answer, answers

from natfp_bench.base import streams

ROOT = Path(__file__).parents[1]

TASK = """\
task: pair
version: 1
summary: Two initialisations, one replicate each.
replicates: 1
factor: {name: initialisation seed, fields: [seeds.init], levels: {a: 0, b: 1}}
"""
CHANGED = ("sampling.block=20", "analysis.transfer=false")
"""Overrides of the preset `smoke`: many small entries, and no texts drawn in other ways."""

LATE = 20.0
"""Seconds within which an interrupted or killed run must end, and its workers after it."""

EARLY = 0.25
"""Share of kills that come before there are workers; a run whose work is all done starts none."""


@dataclass
class Program:
    """One `natfp-bench run` in a session of its own, which identifies all its processes."""

    output: Path
    process: subprocess.Popen[bytes]

    @classmethod
    def start(cls, command: Sequence[str], output: Path, *, folder: Path | None = None, **variables: str) -> Program:
        """Start a command that writes its messages to `log.txt` in its output folder.

        folder: that it runs in. variables: of its environment.
        """
        output.mkdir(parents=True, exist_ok=True)
        environ = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", **variables}
        with (output / "log.txt").open("wb") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, env=environ, cwd=folder, start_new_session=True)
        return cls(output, process)

    @property
    def ended(self) -> bool:
        """Whether the run's first process has ended."""
        return self.process.poll() is not None

    def family(self) -> list[psutil.Process]:
        """List the living processes of the session, with the first one."""
        found = []
        for pid in psutil.pids():
            with suppress(psutil.Error, ProcessLookupError, PermissionError):
                if os.getsid(pid) == self.process.pid and (one := psutil.Process(pid)).status() != psutil.STATUS_ZOMBIE:
                    found.append(one)
        return found

    def workers(self) -> list[psutil.Process]:
        """List the workers: children of the fork server, which is a child of the first process."""
        with suppress(psutil.Error):
            children = psutil.Process(self.process.pid).children()
            return [worker for child in children for worker in child.children()]
        return []

    def servers(self) -> list[psutil.Process]:
        """List the processes that workers are forked from."""
        with suppress(psutil.Error):
            return [child for child in psutil.Process(self.process.pid).children() if child.children()]
        return []

    def wait(self, seconds: float) -> bool:
        """Wait for the end of the run; if it does not end in time, kill all its processes and return False."""
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.stop()
            return False
        return True

    def stop(self) -> None:
        """Kill all processes of the run."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def left(self, seconds: float) -> list[str]:
        """Say which processes still live so many seconds after the end of the run, and kill them."""
        deadline = time.monotonic() + seconds
        while (alive := self.family()) and time.monotonic() < deadline:
            time.sleep(0.05)
        said = []
        for one in alive:
            with suppress(psutil.Error):
                said.append(f"process {one.name()} outlived its run by {seconds:g} s")
                one.kill()
        return said

    def said(self) -> str:
        """Last lines that the run printed."""
        return " | ".join((self.output / "log.txt").read_text(errors="replace").splitlines()[-6:])


@dataclass
class Ground:
    """A folder for stores and results, and facts of an undisturbed run in it.

    startup: seconds until there are workers. busy: seconds after that. size: bytes of the store, in whole pages.
    limit: seconds within which a run ends, however busy the machine is.
    """

    folder: Path
    expected: Answer
    startup: float
    busy: float
    size: int
    limit: float

    @classmethod
    def prepare(cls, folder: Path) -> Ground:
        """Do an undisturbed run; raises RuntimeError if it fails."""
        (folder / "tasks").mkdir()
        (folder / "tasks" / "pair.yaml").write_text(TASK)
        ground = cls(folder, Answer("", b""), 0.0, 0.0, 0, 600.0)
        clock = time.monotonic()
        program = ground.start(folder / "calm" / "store", folder / "calm" / "results")
        while not program.workers() and not program.ended:
            time.sleep(0.02)
        ground.startup = time.monotonic() - clock
        if not program.wait(ground.limit) or program.process.returncode:
            raise RuntimeError(f"the undisturbed run failed: {program.said()}")
        total = time.monotonic() - clock
        ground.busy, ground.limit = total - ground.startup, max(120.0, 10 * total)
        [ground.expected] = answers(program.output)
        store = folder / "calm" / "store"
        ground.size = sum(-(-path.stat().st_size // 4096) * 4096 for path in store.rglob("*") if path.is_file())
        return ground

    def start(self, store: Path, output: Path, *, log: Path | None = None, **variables: str) -> Program:
        """Start a run; every run of the script is the same. log: folder of its messages, if not that of its output."""
        command = [sys.executable, "-m", "natfp_bench", "run", "--task", "pair"]
        command += ["--include-path", str(self.folder / "tasks"), "--preset", "smoke"]
        command += ["--baseline", "majority,naive_bayes", "--device", "cpu", "--workers", "2"]
        command += ["--store", str(store), "-o", str(output)]
        command += [part for setting in CHANGED for part in ("--set", setting)]
        return Program.start(command, log or output, **variables)


# Disturbances: each takes a running program and random numbers, and returns the number of kills that hit it.

Draws = Iterator[float]
Disturb = Callable[[Program, Ground, Draws], int]


def draws(*name: str | int) -> Draws:
    """Yield uniform numbers from a named stream."""
    yield from streams.uniforms([0], 4096, "chaos", *name)[0].tolist()


def await_moment(program: Program, ground: Ground, drawn: Draws, *, working: bool) -> bool:
    """Wait for a random moment of a run; returns False if the run ended before.

    working: a moment when it has workers. Otherwise the moment can be at any time after the start.
    """
    early, share = next(drawn), next(drawn)
    clock = time.monotonic()
    if not working and early < EARLY:
        until = share * ground.startup
    else:
        while not program.workers() and not program.ended:
            if not working and time.monotonic() - clock > 2 * ground.startup:
                break
            time.sleep(0.03)
        # Several runs at once share the cores, so a third of the time alone is early enough.
        until = time.monotonic() - clock + share * ground.busy / 3
    while time.monotonic() - clock < until and not program.ended:
        time.sleep(0.01)
    return not program.ended


def signalled(which: signal.Signals, whole: bool, program: Program, ground: Ground, drawn: Draws) -> int:
    """Send a signal to the first process of a run, or to its whole group, at any moment."""
    if not await_moment(program, ground, drawn, working=False):
        return 0
    (os.killpg if whole else os.kill)(program.process.pid, which)
    return 1


def workers_killed(program: Program, ground: Ground, drawn: Draws) -> int:
    """Kill one worker, or all, at two moments: a job is given up only after its third worker dies."""
    kills = 0
    for _ in range(2):
        if not await_moment(program, ground, drawn, working=True):
            break
        workers = program.workers()
        if next(drawn) < 0.5:
            workers = workers[:1]
        kills += sum(_kill(worker) for worker in workers)
    return kills


def server_killed(program: Program, ground: Ground, drawn: Draws) -> int:
    """Kill the server that workers are forked from, and the first worker."""
    if not await_moment(program, ground, drawn, working=True):
        return 0
    return sum(_kill(one) for one in [*program.servers(), *program.workers()[:1]])


def _kill(one: psutil.Process) -> bool:
    with suppress(psutil.Error):
        one.kill()
        return True
    return False


@dataclass(frozen=True)
class Way:
    """A way to disturb a run, and the exit codes that are then allowed; 0 if the run had nearly ended."""

    disturb: Disturb
    codes: tuple[int, ...]


WAYS = {
    "worker": Way(workers_killed, (0,)),
    "server": Way(server_killed, (0,)),
    "run": Way(partial(signalled, signal.SIGKILL, False), (0, -signal.SIGKILL)),
    "all": Way(partial(signalled, signal.SIGKILL, True), (0, -signal.SIGKILL)),
    # Before the command line has started, the signal ends Python itself.
    "ctrl-c": Way(partial(signalled, signal.SIGINT, True), (0, 130, -signal.SIGINT)),
    "sigterm": Way(partial(signalled, signal.SIGTERM, False), (0, -signal.SIGTERM)),
}
