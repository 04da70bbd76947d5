"""Whole runs at the preset `smoke`, on a store, a pool of workers and a corpus that tests share."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from shutil import copytree, ignore_patterns
from typing import TYPE_CHECKING, Any

import pytest
from filelock import FileLock

if TYPE_CHECKING:
    from natfp_bench.pipeline.result import Result, Score

FEW = "majority,unigram,char_ngram,naive_bayes"
"""Baselines for tests to which the choice does not matter; the others are slower and have their own tests."""


class Bench:
    """A store, a pool of workers and a corpus that tests share, so that no model is trained twice.

    common: folder of all test processes, in which they share what several of them need.
    """

    def __init__(self, root: Path, corpus: Path, common: Path) -> None:
        from natfp_bench.pipeline.local_engine import LocalEngine

        self.root, self.corpus, self.common = root, corpus, common
        self.store, self.output = root / "store", root / "results"
        self.engine = LocalEngine(1)
        self.events: list[Any] = []
        self.warnings: list[str] = []

    def plan(self, task: str, **options: Any) -> Any:
        """Plan a task at the preset `smoke` on the shared corpus."""
        from natfp_bench.plan.make_plan import make_plan

        overrides = {"corpus.name": f"text:{self.corpus}", **options.pop("overrides", {})}
        return make_plan(task, "smoke", overrides=overrides, **options)

    def run(
        self, task: str, *, baselines: str = FEW, store: Path | None = None, output: Path | None = None, **options: Any
    ) -> Any:
        """Run a task; returns (result, folder). `events` and `warnings` are those of the last run."""
        from natfp_bench.attributors import registry
        from natfp_bench.pipeline.run import run_plan
        from natfp_bench.pipeline.store import Store

        self.events, self.warnings = [], []
        return run_plan(
            self.plan(task, **options),
            registry.find(baselines),
            store=Store(store or self.store, self.warnings.append),
            engine=self.engine,
            output=output or self.output,
            device="cpu",
            watch=self.events.append,
        )

    def run_once(self, task: str, **options: Any) -> Any:
        """Run a task whose entries the first test process makes, and the others copy."""

        def make(folder: Path) -> None:
            self.run(task, store=folder / "store", output=folder / "results", **options)

        self.share(task, make)
        return self.run(task, **options)

    def share(self, name: str, make: Callable[[Path], None]) -> Path:
        """Let the first test process make a folder with a store; copy the entries of the store into the own one."""
        place = self.common / name
        self.common.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{place}.lock"):
            if not (place / "done").exists():
                place.mkdir(exist_ok=True)
                make(place)
                (place / "done").touch()
        own = ignore_patterns("locks", "partial", "runs", "temp")
        copytree(place / "store", self.store, ignore=own, dirs_exist_ok=True)
        return place

    def started(self) -> list[str]:
        """Names of the jobs that the last run started."""
        return [event.job.name for event in self.events if event.kind == "start"]


BRIEF = {
    "budget.tokens": "20480",
    "schedule.warmup_tokens": "1024",
    "sampling.texts": "100",
    "analysis.transfer": "false",
}
"""Overrides for a brief run of many models: 40 steps and 100 texts each, and no texts drawn in other ways."""


def gathered(bench: Bench, task: str, **options: Any) -> tuple[Any, Any, Path]:
    """Run a task; returns its evidence, its result, and the folder of the result."""
    from natfp_bench.pipeline import assemble

    seen: list[Any] = []
    make = assemble.result
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(assemble, "result", lambda evidence, info: (seen.append(evidence), make(evidence, info))[1])
        result, folder = bench.run_once(task, **options)
    return seen[-1], result, folder


LEAN = {"analysis.transfer": "false"}
"""Overrides for a test that needs no texts drawn in other ways."""


def task_file(folder: Path, name: str, text: str) -> Path:
    """Write a task of one replicate into a folder; returns the folder."""
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.yaml").write_text(f"task: {name}\nversion: 1\nsummary: s\nreplicates: 1\n{text}")
    return folder


def scores(result: Result, target: str = "level") -> dict[str, Score]:
    """Scores of a result on one target, by attributor."""
    return {score.attributor.name: score for score in result.scores if score.target == target}


def files(store: Path, kind: str, result: Result) -> list[Path]:
    """Files of the entries of one kind that a result refers to."""
    keys = json.loads((store / "runs" / f"{result.run.id}.json").read_text())["keys"]
    return sorted(path for key in keys for path in (store / kind / key[:2] / key).glob("*"))
