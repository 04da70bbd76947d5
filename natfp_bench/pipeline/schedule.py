"""Scheduling: each stage is made once what it needs is there; what the store already holds costs no job."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from natfp_bench.base.errors import JobError, UserError
from natfp_bench.base.records import Record

from .engine import Engine, Event, Job, Outcome, Watch, printed
from .stages.stage import ModelStage, Stage, Work
from .store import Made, Store

MAKE = "natfp_bench.pipeline.workbench:make"


@dataclass(frozen=True)
class Wanted:
    """A stage that is to be made, what people call it, and a finished stage that it may go on from."""

    stage: Stage
    label: str
    start: Stage | None = None


@dataclass
class Schedule:
    """Makes stages, and notes what came of each.

    metas: the note of each finished stage, of its `meta_type`. made: how it was made. failed: reasons, of the stages
    that failed although the run can continue without them. left_out: failed stages, stages that are impossible, and all
    stages that need one of either. seconds: of the jobs done now, by `doing`. work: of all finished stages, whenever
    they were made.
    """

    store: Store
    engine: Engine
    device: str
    watch: Watch
    metas: dict[Stage, Any] = field(default_factory=dict)
    made: dict[Stage, Made] = field(default_factory=dict)
    failed: dict[Stage, str] = field(default_factory=dict)
    left_out: set[Stage] = field(default_factory=set)
    seconds: dict[str, float] = field(default_factory=dict)
    work: dict[str, float] = field(default_factory=dict)

    def drive(self, wanted: Iterable[Wanted]) -> None:
        """Make all stages that are wanted and not yet there, each after those that it needs or goes on from.

        What they need is among those wanted, or the store holds it. Raises ValueError if neither is so.
        """
        waiting: dict[Stage, Wanted] = {}
        for one in wanted:
            if one.stage not in self.metas:
                waiting.setdefault(one.stage, one)
        for stage, one in waiting.items():
            if one.start and one.start not in waiting and not self._at_hand(one.start):
                # It only saves time, and what another plan was to make may be gone.
                waiting[stage] = replace(one, start=None)
        for stage in [need for one in waiting.values() for need in _first(one)]:
            if stage not in self.metas and stage not in waiting and stage not in self.left_out:
                self._find(stage)

        def ready() -> list[Job]:
            """Take the jobs that can be done now; what the store holds is noted, and may make more of them ready."""
            jobs: list[Job] = []
            found = True
            while found:
                found = False
                for stage, one in list(waiting.items()):
                    first = _first(one)
                    lost = not self.left_out.isdisjoint(first)
                    if not lost and not first <= self.metas.keys():
                        continue
                    del waiting[stage]
                    found = True
                    if lost or not stage.possible(self.metas):
                        self.left_out.add(stage)
                    elif entry := self.store.open(stage.kind, stage.key):
                        self._finished(one.label, stage, stage.meta(entry), entry.made, fresh=False)
                    else:
                        work = Work(stage, str(self.store.root), one.label, self.device, one.start)
                        needs = stage.machine(self.device)
                        logs = str(self.store.logs)
                        jobs.append(Job(one.label, stage.doing, MAKE, work, stage.limits, needs, logs))
            return jobs

        talkative: list[Outcome] = []

        def follow(outcome: Outcome) -> list[Job]:
            self._note(outcome)
            talkative.extend([outcome] if outcome.log and outcome.error is None else [])
            return ready()

        first = ready()
        still = Counter([job.stage for job in first] + [stage.doing for stage in waiting])
        for doing, number in still.items():
            self.watch(Event("planned", Job("", doing, "", None), total=number))
        if first:
            self.engine.run(first, self.watch, follow)
        if talkative:
            several = f" and {len(talkative) - 1} other jobs" if len(talkative) > 1 else ""
            self.warn(f"{talkative[0].job.name}{several} printed something: {talkative[0].log}")

    def _at_hand(self, stage: Stage) -> bool:
        return stage in self.metas or stage in self.left_out or self.store.open(stage.kind, stage.key) is not None

    def _find(self, stage: Stage) -> None:
        entry = self.store.open(stage.kind, stage.key)
        if entry is None:
            raise ValueError(f"{stage.kind} {stage.key[:12]} is needed, but it is neither wanted nor in the store")
        self.metas[stage], self.made[stage] = stage.meta(entry), entry.made

    def warn(self, text: str, about: str = "") -> None:
        """Report something that does not stop the work; about: the label of the stage that it concerns."""
        self.watch(Event("warning", Job(about, "", "", None), text=text))

    def mixed(self) -> dict[str, tuple[str, ...]]:
        """Packages whose major or minor version differs between finished stages, with the versions."""
        found: dict[str, set[str]] = {}
        for made in self.made.values():
            for package, version in made.versions.items():
                found.setdefault(package, set()).add(".".join(version.split(".")[:2]))
        return {package: tuple(sorted(versions)) for package, versions in sorted(found.items()) if len(versions) > 1}

    def _finished(self, label: str, stage: Stage, meta: Record, made: Made, *, fresh: bool) -> None:
        self.metas[stage], self.made[stage] = meta, made
        for spent in (self.work, self.seconds) if fresh else (self.work,):
            spent[stage.doing] = spent.get(stage.doing, 0.0) + made.seconds
        if isinstance(stage, ModelStage) and (reason := getattr(meta, "reason", None)):
            self.warn(f"{label} diverged: {reason}", label)

    def _note(self, outcome: Outcome) -> None:
        name, stage, error = outcome.job.name, outcome.job.payload.stage, outcome.error
        if error is None:
            noted, made = outcome.value
            self._finished(name, stage, stage.meta_type.model_validate(noted, strict=False), made, fresh=True)
        elif type(error) in stage.survived:
            self.failed[stage] = str(error)
            self.left_out.add(stage)
            first = str(error).splitlines()[0]
            what = f"{name} is left out: {first}" if isinstance(error, UserError) else f"{name} failed: {error}"
            self.warn(what + printed(outcome.log), name)
        else:
            if isinstance(error, JobError):
                error.args = (f"{error}{printed(outcome.log)}",)
            raise error


def _first(wanted: Wanted) -> set[Stage]:
    """What must be there before a stage can be made."""
    return {*wanted.stage.needs(), *([wanted.start] if wanted.start else [])}
