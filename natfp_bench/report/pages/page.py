"""Pages of a report as plain records, and the data that all of them are made from. Templates compute nothing."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from natfp_bench.base.errors import UserError
from natfp_bench.base.records import digest
from natfp_bench.pipeline.curve_result import CurveResult
from natfp_bench.pipeline.result import Result
from natfp_bench.plan.task_files import Task, load_task, task_files
from natfp_bench.report.drawing import Figure
from natfp_bench.report.main_figure import CONTROLS, family
from natfp_bench.report.page_texts import LevelAnswers, PageTexts, page_texts
from natfp_bench.results.leaderboard import FactorRow, Leaderboards
from natfp_bench.results.protocols import Board, Protocol
from natfp_bench.results.trends import Trend

Facts = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Page:
    """One page: its path, its template, and what it shows; `figures`: all of its figures, in their order.

    downloads: other files that the page links to, by path.
    """

    path: str
    title: str
    template: str
    shown: Mapping[str, Any]
    figures: Sequence[Figure] = ()
    provenance: Sequence[Facts] = ()
    downloads: Mapping[str, str] = field(default_factory=dict)

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
    trends: Sequence[Trend] = ()
    curves: Sequence[CurveResult] = ()
    guesses: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    texts: dict[str, PageTexts] = field(default_factory=dict)

    def read(self, protocol: Protocol) -> None:
        """Read the answers and texts of a protocol, once: they are many, and little of them is shown."""
        digest_ = protocol.newest.protocol_digest
        if digest_ not in self.texts:
            answers = LevelAnswers.of(protocol)
            self.guesses[digest_] = {name: answers.guesses(name) for name in protocol.main}
            self.texts[digest_] = page_texts(protocol, answers, self.store)

    @property
    def by_digest(self) -> dict[str, Protocol]:
        """All protocols by their digest."""
        return {protocol.newest.protocol_digest: protocol for protocol in self.protocols}

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
    def menu(self) -> Mapping[str, Sequence[tuple[str, str]]]:
        """Factors with the paths of their pages, by family: the menu of every page."""
        several = len(self.found.standings) > 1
        found: dict[str, list[tuple[str, str]]] = {}
        for standing in self.found.standings:
            for row in standing.factors:
                result = self.by_digest[row.protocol_digest].newest
                name = f"{result.factor.name} ({result.preset})" if several else result.factor.name
                of = family(result.task.tags, result.task.control)
                found.setdefault(of, []).append((name, task_path(result)))
        return dict(sorted(found.items(), key=lambda pair: pair[0] == CONTROLS))

    @property
    def tags(self) -> dict[str, Sequence[str]]:
        """Tags of tasks, by protocol digest."""
        return {protocol.newest.protocol_digest: protocol.newest.task.tags for protocol in self.protocols}


@cache
def _bundled(name: str) -> Task | None:
    path = task_files().get(name)
    try:
        return load_task(path)[0] if path else None
    except UserError:
        return None


def question(result: Result) -> str:
    """The question that a task asks, as its file has it; its name and factor if the file is unknown or is another."""
    task = _bundled(result.task.name)
    same = task is not None and (task.factor.name, task.version) == (result.factor.name, result.task.version)
    return task.summary if task and same else f"{result.task.name}: {result.factor.name}"


def about(result: Result) -> str:
    """What the file of a task says of it; empty if the file is unknown or is another."""
    task = _bundled(result.task.name)
    same = task is not None and (task.factor.name, task.version) == (result.factor.name, result.task.version)
    return " ".join(task.notes.split()) if task and same else ""


def slug(name: str) -> str:
    """Make a file name from any name, with a digest if the name has to be changed."""
    plain = re.sub(r"[^a-z0-9_]+", "-", name.lower())[:60].strip("-")
    return plain if plain and plain == name else f"{plain}-{digest(name)[:8]}".strip("-")


def trend_path(of: Trend) -> str:
    """Path of the page of a trend."""
    name = digest([of.setting, [point.protocol_digest for point in of.points]])[:8]
    return f"trends/{slug(of.task)}-{slug(of.setting.preset)}-{name}.html"


def curve_path(of: CurveResult) -> str:
    """Path of the page of a curve: each run has its own."""
    return f"curves/{slug(of.task.name)}-{slug(of.preset)}-{digest([of.protocol_digest, of.run.id])[:8]}.html"


def task_path(result: Result) -> str:
    """Path of the page of a result's protocol."""
    return f"tasks/{slug(result.task.name)}-{slug(result.preset)}-{digest(result.protocol_digest)[:8]}.html"


def bibtex(result: Result, version: str) -> str:
    """How to cite one result: the digest says which."""
    own = result.protocol_digest[:12]

    def plain(text: str) -> str:
        return re.sub(r"[^\w .,:;?!()/'-]+", " ", text)

    return "\n".join(
        [
            f"@misc{{natfp_{re.sub(r'[^a-z0-9]+', '_', result.task.name.lower())}_{own},",
            f"  title  = {{natfp\\_bench, task {plain(result.task.name)}: {plain(question(result))}}},",
            "  author = {{The natfp_bench authors}},",
            f"  year   = {{{plain(result.run.started)[:4]}}},",
            f"  note   = {{version {version}, preset {plain(result.preset)}, run {plain(result.run.id)}, "
            f"protocol digest {result.protocol_digest}}}",
            "}",
        ]
    )


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
