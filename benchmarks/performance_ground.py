"""What all rows of `performance.py` need: records, measurements of processes, and models that are prepared once."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import psutil

from natfp_bench.corpus import chronicle

ROOT = Path(__file__).parents[1]
BASELINES = "naive_bayes,unigram,char_ngram"
LOOK_SECONDS = 0.05


@dataclass(frozen=True)
class Bar:
    """The limit that a value has to reach."""

    limit: float
    kind: str = "at least"
    unit: str = "×"

    def holds(self, value: float) -> bool:
        """Whether a value reaches it."""
        return value >= self.limit if self.kind == "at least" else value < self.limit

    def loose(self) -> Bar:
        """Half of what is asked, which a busy machine reaches, too."""
        return replace(self, limit=self.limit / 2 if self.kind == "at least" else self.limit * 2)

    def __str__(self) -> str:
        return f"{self.kind} {self.limit:g}{self.unit}"


@dataclass(frozen=True)
class Row:
    """A comparison: two figures in words, their ratio or difference, and the bar, if there is one."""

    what: str
    ours: str
    against: str
    value: float
    bar: Bar | None = None

    @property
    def reached(self) -> bool:
        """Whether the bar is reached; a row without one cannot miss it."""
        return self.bar is None or self.bar.holds(self.value)

    def cells(self, judged: bool) -> list[str]:
        """The row of the table."""
        value = f"{self.value:.0f}{self.bar.unit}" if self.bar and self.bar.unit != "×" else f"{self.value:.2f}×"
        asked, verdict = (str(self.bar), "yes" if self.reached else "**no**") if self.bar and judged else ("", "")
        return [self.what, self.ours, self.against, value, asked, verdict]


@dataclass
class Part:
    """Rows of one kind, notes about them, and how the time grows: what grows, seconds at first, and ratios."""

    rows: list[Row]
    notes: list[str] = field(default_factory=list)
    growth: list[list[str]] = field(default_factory=list)


@dataclass(frozen=True)
class Sizes:
    """How much is measured."""

    repeats: int = 3
    prepared_steps: int = 600
    texts: int = 1000
    steps: int = 400
    warm: int = 100
    blocks: int = 4
    drawn: int = 2000
    tuned: int = 4000
    searched: int = 500
    batches: tuple[int, ...] = (64, 128, 250, 500, 1000, 2000)
    score_batches: tuple[int, ...] = (32, 64, 125, 250)
    starts: int = 7
    preset: str = "quick"
    files: tuple[int, int] = (20_000_000, 2_000_000_000)
    thorough: bool = True
    times: tuple[int, ...] = (1, 2, 4, 8)


FULL = Sizes()
QUICK = Sizes(
    repeats=1,
    prepared_steps=120,
    texts=150,
    steps=30,
    warm=10,
    blocks=1,
    drawn=128,
    tuned=300,
    searched=64,
    batches=(64, 128),
    score_batches=(32, 64),
    starts=2,
    preset="smoke",
    files=(1_000_000, 20_000_000),
    times=(1, 2),
)
# As short, but against the best batch size of the others: so its ratios can be judged, if loosely.
GUARD = replace(
    QUICK, steps=60, warm=20, blocks=2, drawn=500, batches=(500,), score_batches=(64,), texts=500, thorough=False
)


def alternate(ours: Callable[[], float], theirs: Callable[[], float], times: int) -> tuple[float, float]:
    """Measure in turn, ours first; returns the median of each."""
    found = [(ours(), theirs()) for _ in range(times)]
    return statistics.median(a for a, _ in found), statistics.median(b for _, b in found)


def variables() -> dict[str, str]:
    """Environment of the measured programs: this checkout, no network, and no fixed numbers of threads."""
    kept = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    return {**kept, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", "TQDM_DISABLE": "1"}


def printed(command: Sequence[str], folder: Path) -> str:
    """Run a Python program; returns what it printed. Raises RuntimeError if it fails."""
    with tempfile.TemporaryFile("w+", dir=folder) as errors:
        done = subprocess.run(
            [sys.executable, *command], stdout=subprocess.PIPE, stderr=errors, text=True, env=variables(), cwd=folder
        )
        if done.returncode:
            errors.seek(0)
            raise RuntimeError(f"{' '.join(command)}: exit code {done.returncode}\n{errors.read()[-2000:]}")
    return done.stdout


def timed(command: Sequence[str], folder: Path) -> tuple[str, float]:
    """Run a Python program; returns what it printed, and seconds by the wall clock, with start-up."""
    start = time.monotonic()
    said = printed(command, folder)
    return said, time.monotonic() - start


def processor_seconds(command: Sequence[str]) -> float:
    """User and system time of a Python program."""
    process = subprocess.Popen([sys.executable, *command], stdout=subprocess.DEVNULL, env=variables())
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)}: exit code {process.returncode}")
    return usage.ru_utime + usage.ru_stime


def peak_memory(command: Sequence[str], folder: Path) -> float:
    """Peak resident memory in MB of a Python program and all its descendants; shared pages count for each of them."""
    peak = 0.0
    with (folder / "log.txt").open("w+") as log:
        process = subprocess.Popen([sys.executable, *command], stdout=log, stderr=log, env=variables(), cwd=folder)
        own = psutil.Process(process.pid)
        while process.poll() is None:
            peak = max(peak, family_memory(own))
            time.sleep(LOOK_SECONDS)
        if process.returncode:
            log.seek(0)
            raise RuntimeError(f"{' '.join(command)}: exit code {process.returncode}\n{log.read()[-2000:]}")
    return peak


def family_memory(process: psutil.Process) -> float:
    """Resident memory in MB of a process and all its descendants."""
    total = 0
    with suppress(psutil.Error):
        for one in [process, *process.children(recursive=True)]:
            with suppress(psutil.Error):
                total += one.memory_info().rss
    return total / 1e6


def write_text(path: Path, size: int) -> None:
    """Write a text file of so many bytes: prose of the embedded corpus, repeated, with a number on each paragraph."""
    documents = [chronicle.document(0, index)[0] for index in range(2000)]
    written = turn = 0
    with path.open("wb") as file:
        while written < size:
            chunk = "".join(f"{turn} {i} {text}\n\n" for i, text in enumerate(documents)).encode()[: size - written]
            written, turn = written + file.write(chunk), turn + 1


@dataclass
class Ground:
    """A folder for the measurements, and what several rows need, made when the first of them asks for it."""

    folder: Path
    sizes: Sizes

    @cached_property
    def cores(self) -> int:
        """Cores that this process may use."""
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

    @cached_property
    def prepared(self) -> Path:
        """Folder of the corpus, four trained models, and texts of each."""
        place, sizes = self.folder / "prepared", self.sizes
        how = {"processes": min(4, self.cores), "steps": sizes.prepared_steps, "texts": sizes.texts}
        self._work("prepare", place, how)
        return place

    def work(self, name: str, **options: Any) -> dict[str, float]:
        """Run a workload in a process of its own."""
        return self._work(name, self.prepared, options)

    def _work(self, name: str, place: Path, options: dict[str, Any]) -> dict[str, float]:
        script = str(ROOT / "benchmarks" / "workloads.py")
        said = printed([script, name, str(place), json.dumps(options)], self.folder)
        found: dict[str, float] = json.loads(said.splitlines()[-1])
        return found

    def searched(self, name: str, batches: Sequence[int], **options: Any) -> dict[int, float]:
        """Run a workload at several batch sizes; returns the rate of each."""
        return {int(batch): rate for batch, rate in self.work(name, batches=list(batches), **options).items()}

    @cached_property
    def generate_rates(self) -> dict[int, float]:
        """Rates of `generate` by batch size; not measured if there is no choice."""
        if len(self.sizes.batches) == 1:
            return dict.fromkeys(self.sizes.batches, 0.0)
        return self.searched("sample_theirs", self.sizes.batches, texts=self.sizes.searched)

    @cached_property
    def forward_rates(self) -> dict[int, float]:
        """Rates of plain scoring by batch size; not measured if there is no choice."""
        if len(self.sizes.score_batches) == 1:
            return dict.fromkeys(self.sizes.score_batches, 0.0)
        return self.searched("score_theirs", self.sizes.score_batches, models=1, share=4)

    @cached_property
    def first_run(self) -> tuple[float, dict[str, float]]:
        """Seconds and accuracies of a whole run from an empty store."""
        return self.run(self.folder / "first")

    def run(self, output: Path) -> tuple[float, dict[str, float]]:
        """Run the task; returns seconds by the wall clock, and accuracies."""
        seconds = self.command("run", "--task", "seed_id", "--baseline", BASELINES, "-o", str(output))
        (path,) = output.rglob("result.json")
        scores = [score for score in json.loads(path.read_text())["scores"] if score["split"] == "unseen_prompt"]
        return seconds, {score["attributor"]["name"]: score["metrics"]["accuracy"]["value"] for score in scores}

    def command(self, name: str, *options: str, store: str = "store") -> float:
        """Run a command of the package with a store of that name; returns seconds by the wall clock."""
        command = ["-m", "natfp_bench", name, *options, "--store", str(self.folder / store)]
        if name == "run":
            command += ["--device", "cpu", "--preset", self.sizes.preset]
        return timed(command, self.folder)[1]


def best(rates: dict[int, float]) -> int:
    """Batch size with the best rate."""
    return max(rates, key=lambda batch: rates[batch])
