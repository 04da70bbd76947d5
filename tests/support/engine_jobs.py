"""What workers do in the tests of engines; a worker imports this module to find it."""

from __future__ import annotations

import ctypes
import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import psutil
from patience import AGES, PATIENCE

from natfp_bench.base.errors import SpecError
from natfp_bench.pipeline.engine import Engine, Event, Job, Outcome


def double(payload: int, context: Any) -> int:
    return 2 * payload


def own_id(payload: Any, context: Any) -> int:
    return os.getpid()


def nap(payload: float, context: Any) -> float:
    time.sleep(payload)
    return time.monotonic()


def fail(payload: Exception, context: Any) -> None:
    raise payload


def fail_spec(payload: list[str], context: Any) -> None:
    raise SpecError(payload)


def die(payload: tuple[str, int, str], context: Any) -> str:
    """Die by a signal, so many times; the count is kept in a folder."""
    folder, times, how = payload
    deaths = len(list(Path(folder).iterdir()))
    if deaths < times:
        (Path(folder) / str(deaths)).touch()
        if how == "exit":
            os._exit(7)
        os.kill(os.getpid(), getattr(signal, how))
    return "alive"


def resident(payload: Any, context: Any) -> int:
    return psutil.Process().memory_info().rss // 2**20


def warn_and_nap(payload: float, context: Any) -> str:
    context.warn("off I go")
    time.sleep(payload)
    return "done"


def warn_and_stay_once(payload: str, context: Any) -> str:
    """Say that it began, and stay until it is killed; the second time, end."""
    context.warn("off I go")
    path = Path(payload)
    if not path.exists():
        path.touch()
        time.sleep(AGES)
    return "done"


def eat(payload: tuple[int, bool], context: Any) -> str:
    """Take so many MB, here or in a process of its own, and keep them."""
    size, elsewhere = payload
    code = f"held = bytearray(b'x') * ({size} * 2**20); import time; time.sleep({AGES})"
    if elsewhere:
        subprocess.run([sys.executable, "-c", code], check=True)
    else:
        exec(code)
    return "sated"


def sees(seconds: float, context: Any) -> tuple[str | None, float, float]:
    """The GPUs that a worker sees, and when it began and ended."""
    start = time.monotonic()
    time.sleep(seconds)
    return os.environ.get("CUDA_VISIBLE_DEVICES"), start, time.monotonic()


def report(payload: int, context: Any) -> int:
    context.warn("mind the gap")
    for done in range(1, payload + 1):
        context.progress(done, payload, "steps")
    return payload


def see(payload: Any, context: Any) -> dict[str, Any]:
    return {"devices": os.environ.get("CUDA_VISIBLE_DEVICES"), "process": os.getpid()}


def kill_parent(payload: str, context: Any) -> str:
    """Kill the Ray worker above this process, once."""
    path = Path(payload)
    if not path.exists():
        path.touch()
        psutil.Process().parent().parent().kill()  # the fork server is between the two
        time.sleep(60)
    return "alive"


def speak(payload: tuple[str, str], context: Any) -> str:
    """Write to the streams in one way, and end in another."""
    way, end = payload
    {
        "python": lambda: sys.stdout.write("\x1b[31mna\u00efve\n"),
        "python's errors": lambda: sys.stderr.write("\x1b[31mna\u00efve\n"),
        "descriptor": lambda: os.write(2, b"\x1b[31mna\xc3\xafve \xff\n"),
        "c": lambda: ctypes.CDLL(None).puts("\x1b[31mna\u00efve".encode()),
        "child": lambda: subprocess.run(["/bin/echo", "\x1b[31mna\u00efve".encode()], check=True),
        "nothing": lambda: None,
    }[way]()
    if end == "dies":
        sys.stdout.flush()
        os.kill(os.getpid(), signal.SIGKILL)
    if end == "fails":
        raise ZeroDivisionError
    return "done"


def chatter(payload: int, context: Any) -> None:
    """Print more than so many bytes."""
    sys.stdout.write("x" * payload + "\nthe end\n")


# What tests call.


def job(function: Callable[..., Any], payload: Any, name: str = "") -> Job:
    return Job(name or f"{function.__name__} {payload}", "stage", f"{function.__module__}:{function.__name__}", payload)


def run(engine: Engine, jobs: Iterable[Job]) -> tuple[dict[str, Outcome], list[Event]]:
    outcomes: dict[str, Outcome] = {}
    events: list[Event] = []

    def follow(outcome: Outcome) -> tuple[Job, ...]:
        outcomes[outcome.job.name] = outcome
        return ()

    engine.run(jobs, events.append, follow)
    return outcomes, events


def below(process: psutil.Process) -> set[psutil.Process]:
    return set(process.children(recursive=True))


def alive(processes: Iterable[psutil.Process]) -> list[psutil.Process]:
    """Those that are still there after a while."""
    _, left = psutil.wait_procs(processes, timeout=PATIENCE)
    return [one for one in left if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]


def together(outcomes: dict[str, Outcome]) -> set[frozenset[str]]:
    """Pairs of jobs that ran at the same time."""
    spans = {name: outcome.value[1:] for name, outcome in outcomes.items()}
    pairs = itertools.combinations(spans, 2)
    return {frozenset((a, b)) for a, b in pairs if spans[a][0] < spans[b][1] and spans[b][0] < spans[a][1]}
