"""Pages of a report as plain records, and the data that all of them are made from. Templates compute nothing."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from natfp_bench.base.records import digest
from natfp_bench.pipeline.result import Result
from natfp_bench.report.charts import Figure
from natfp_bench.report.page_texts import LevelAnswers
from natfp_bench.results.leaderboard import FactorRow, Leaderboards
from natfp_bench.results.protocols import Board, Protocol

Facts = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Page:
    """One page: its path, its template, and what it shows; `figures`: all of its figures, in their order."""

    path: str
    title: str
    template: str
    shown: Mapping[str, Any]
    figures: Sequence[Figure] = ()
    provenance: Sequence[Facts] = ()

    @property
    def up(self) -> str:
        """Relative path from the page to the root of the site."""
        return "../" * self.path.count("/")


@dataclass(frozen=True)
class Pages:
    """What all pages are made from: the results, their leaderboards, and the store that may hold their texts."""

    protocols: Sequence[Protocol]
    found: Leaderboards
    store: Path
    read: dict[str, LevelAnswers] = field(default_factory=dict)

    def answers(self, protocol: Protocol) -> LevelAnswers:
        """Answers to the test texts of a protocol, read once."""
        digest_ = protocol.newest.protocol_digest
        if digest_ not in self.read:
            self.read[digest_] = LevelAnswers.of(protocol)
        return self.read[digest_]

    def row(self, protocol: Protocol) -> FactorRow:
        """The row of a protocol on the leaderboard of factors."""
        rows = (row for standing in self.found.standings for row in standing.factors)
        return next(row for row in rows if row.protocol_digest == protocol.newest.protocol_digest)

    @property
    def attributors(self) -> list[str]:
        """Names of all attributors of texts, sorted."""
        return sorted({name for of in self.protocols for name in of.main})

    @property
    def links(self) -> dict[str, str]:
        """Paths of pages, by the protocol digest or the attributor that they are about; likelihoods have none."""
        tasks = {protocol.newest.protocol_digest: task_path(protocol.newest) for protocol in self.protocols}
        return tasks | {name: attributor_path(name) for name in self.attributors}

    @property
    def tags(self) -> dict[str, Sequence[str]]:
        """Tags of tasks, by protocol digest."""
        return {protocol.newest.protocol_digest: protocol.newest.task.tags for protocol in self.protocols}


def slug(name: str) -> str:
    """Make a file name from any name, with a digest if the name has to be changed."""
    plain = re.sub(r"[^a-z0-9_]+", "-", name.lower())[:60].strip("-")
    return plain if plain and plain == name else f"{plain}-{digest(name)[:8]}".strip("-")


def task_path(result: Result) -> str:
    """Path of the page of a result's protocol."""
    return f"tasks/{slug(result.task.name)}-{slug(result.preset)}-{digest(result.protocol_digest)[:8]}.html"


def attributor_path(name: str) -> str:
    """Path of the page of an attributor."""
    return f"attributors/{slug(name)}.html"


def provenance(result: Result) -> Facts:
    """List how a result was made: versions, commit, digests, command, machine."""
    run, where = result.run, result.run.environment
    package = f"{where.get('natfp_bench', 'unknown')}, commit {where.get('commit', 'not recorded')}"
    versions = [f"{name} {version}" for name, version in where.items() if name not in MACHINE]
    digests = {
        "protocol": result.protocol_digest,
        "task": result.task.digest,
        "corpus": result.corpus.digest,
        "texts": result.samples.digest if result.samples else None,
    }
    stages = ", ".join(f"{stage} {spent:,.1f} s" for stage, spent in run.work.items())
    return [
        ("run", f"{result.task.name} (version {result.task.version}), run {run.id}"),
        ("started", run.started),
        ("command", shlex.join(run.command) or "called from Python"),
        ("natfp_bench", package),
        ("packages", ", ".join(versions)),
        ("machine", ", ".join(f"{name} {where[name]}" for name in ("platform", "processor", "cores") if name in where)),
        *[(f"digest of {what}", found) for what, found in digests.items() if found],
        ("took", f"{run.seconds.get('total', 0.0):,.1f} s; work that the result depends on: {stages}"),
    ]


MACHINE = ("platform", "processor", "cores", "natfp_bench", "commit")


def all_provenance(of: Pages) -> list[Facts]:
    """List how each result was made."""
    return [provenance(result) for protocol in of.protocols for _, result in protocol.results]


def boards_of(of: Pages, protocol: Protocol) -> list[Board]:
    """Boards of one protocol, those for levels first."""
    own = protocol.newest.protocol_digest
    boards = [board for board in of.found.boards if board.protocol_digest == own]
    return sorted(boards, key=lambda board: board.target != "level")
