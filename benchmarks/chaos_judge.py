"""What is wrong with a store or a result, in words. Nothing here starts or stops a process."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors import safe_open

from natfp_bench.pipeline import result_files as results
from natfp_bench.pipeline.store import Store, kinds


@dataclass
class Verdict:
    """Outcome of a scenario: how much was done, and the faults of each kind, in words."""

    runs: int = 0
    kills: int = 0
    disk: int = 0
    cuts: int = 0
    files: int = 0
    wrong: list[str] = field(default_factory=list)
    stuck: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    orphans: list[str] = field(default_factory=list)
    skipped: str = ""

    @property
    def faults(self) -> list[str]:
        """All faults."""
        return [*self.wrong, *self.stuck, *self.lost, *self.orphans]


@dataclass(frozen=True)
class Work:
    """Contents of a store: the manifest of each finished entry, and the log in the last checkpoint of each training."""

    manifests: dict[str, str]
    logs: dict[str, list[Any]]


def work(store: Path) -> Work:
    """Read what a store holds."""
    manifests, logs = {}, {}
    for kind in kinds(store):
        for path in sorted((store / kind).glob("*/*/manifest.json")):
            manifests[f"{kind}/{path.parent.name}"] = path.read_text()
    for path in sorted((store / "partial").glob("*/checkpoint.safetensors")):
        with suppress(FileNotFoundError):  # the training has ended meanwhile
            logs[path.parent.name] = _checkpoint(path)["log"]
    return Work(manifests, logs)


def _checkpoint(path: Path) -> dict[str, Any]:
    """Counters of a training's checkpoint."""
    with safe_open(path, framework="numpy") as file:
        counters: dict[str, Any] = json.loads(file.metadata()["counters"])
    return counters


def lost_work(before: Work, store: Path) -> list[str]:
    """Say which entries are gone or were made again, and which trainings did not continue from their checkpoint.

    A manifest contains the time when its entry was made. The log of a training contains its speed so precisely that no
    second training has the same: a training continued from a checkpoint if its log begins with the checkpoint's.
    """
    after = work(store)
    found = [
        f"{name} was {'made again' if name in after.manifests else 'lost'}"
        for name, manifest in before.manifests.items()
        if after.manifests.get(name) != manifest
    ]
    for key, log in before.logs.items():
        path = store / "model" / key[:2] / key / "train_log.jsonl"
        if path.is_file():
            now = [json.loads(line) for line in path.read_text().splitlines()]
        else:
            now = after.logs.get(key, [])
        if now[: len(log)] != log:
            found.append(f"training {key[:12]} did not continue from its checkpoint")
    return found


def damage(store: Path, *, final: bool) -> list[str]:
    """Say what `store verify` finds; half-written entries count only after the last run."""
    if not (store / "store.json").is_file():  # killed before there was a store
        return ["there is no store"] if final else []
    found = [finding for finding in Store(store).verify() if final or finding.what != "half-written"]
    return [f"{finding.path.relative_to(store)}: {finding.what}" for finding in found]


@dataclass(frozen=True)
class Answer:
    """What a run wrote, without the volatile parts."""

    result: str
    predictions: bytes


def answers(output: Path) -> list[Answer]:
    """Read all results in an output folder."""
    return [
        Answer(results.read(path).stable_json(), (path.parent / "predictions.parquet").read_bytes())
        for path in sorted(output.rglob("result.json"))
    ]


def wrong_answers(expected: Answer, found: Sequence[Answer], *, done: bool) -> list[str]:
    """Say how results differ from that of an undisturbed run; done: there must be exactly one."""
    faults = [] if len(found) == 1 or not (done or found) else [f"{len(found)} results"]
    for answer in found:
        if answer.result != expected.result:
            faults.append("result.json differs")
        if answer.predictions != expected.predictions:
            faults.append("predictions.parquet differs")
    return faults
