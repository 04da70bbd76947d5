"""What each page of a report shows, as plain records: templates lay them out, and compute nothing."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import registry, report_figures, report_tables, report_texts
from .boards import Board, Protocol, Setting
from .charts import Figure
from .leaderboard import FactorRow, Leaderboards, Standing
from .records import digest, flatten
from .report_tables import Grid
from .results import Result
from .sheets import findings, interval, number, setting_title, significance, spread, value, variants_sheet

Facts = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Page:
    """One page: where it lies, how it is laid out, what it shows. `figures` are all of it, in their order."""

    path: str
    title: str
    template: str
    shown: Mapping[str, Any]
    figures: Sequence[Figure] = ()
    provenance: Sequence[Facts] = ()

    @property
    def up(self) -> str:
        """What leads from the page to the site's root."""
        return "../" * self.path.count("/")


@dataclass(frozen=True)
class Pages:
    """What all pages are made from: the results, their leaderboards, and the store that may hold more of them."""

    protocols: Sequence[Protocol]
    found: Leaderboards
    store: Path
    read: dict[Path, report_texts.Answers] = field(default_factory=dict)

    def answers(self, path: Path, result: Result) -> report_texts.Answers:
        """Predictions beside a result, read once."""
        if path not in self.read:
            self.read[path] = report_texts.Answers.of(path, result)
        return self.read[path]

    def standing(self, protocol: Protocol) -> Standing:
        """The table that a protocol stands in."""
        return next(one for one in self.found.standings if one.setting == protocol.setting)

    def row(self, protocol: Protocol) -> FactorRow:
        """What the leaderboard says of a protocol."""
        rows = self.standing(protocol).factors
        return next(row for row in rows if row.protocol_digest == protocol.newest.protocol_digest)

    @property
    def attributors(self) -> list[str]:
        """Names of all attributors of texts, sorted."""
        return sorted({name for of in self.protocols for name in of.main})


def slug(name: str) -> str:
    """Make a name of a file of any name: what is left of it, and a digest where something was lost."""
    plain = re.sub(r"[^a-z0-9_]+", "-", name.lower())[:60].strip("-")
    return plain if plain == name else f"{plain}-{digest(name)[:8]}"


def task_path(result: Result) -> str:
    """Where the page of a result's protocol lies."""
    return f"tasks/{slug(result.task.name)}-{slug(result.preset)}-{digest(result.protocol_digest)[:8]}.html"


def attributor_path(name: str) -> str:
    """Where the page of an attributor lies."""
    return f"attributors/{slug(name)}.html"


def pages(of: Pages) -> Iterator[Page]:
    """Make every page of a site, the first page first."""
    yield home(of)
    for protocol in of.protocols:
        yield task(of, protocol)
    for name in of.attributors:
        yield attributor(of, name)
    yield validity(of)


def provenance(result: Result) -> Facts:
    """Tell how a result was made: versions, commit, digests, command, machine."""
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
        ("run", f"{run.id} of {result.task.name} (version {result.task.version}), {run.started}"),
        ("command", shlex.join(run.command) or "called from Python"),
        ("natfp_bench", package),
        ("packages", ", ".join(versions)),
        ("machine", ", ".join(f"{name} {where[name]}" for name in ("platform", "processor", "cores") if name in where)),
        *[(f"digest of {what}", found) for what, found in digests.items() if found],
        ("took", f"{run.seconds.get('total', 0.0):,.1f} s; work that it rests on: {stages}"),
    ]


MACHINE = ("platform", "processor", "cores", "natfp_bench", "commit")


def _all_provenance(of: Pages) -> list[Facts]:
    return [provenance(result) for protocol in of.protocols for _, result in protocol.results]


@dataclass(frozen=True)
class Section:
    """Both leaderboards of one setting; apart: why it is a table of its own."""

    title: str
    apart: str
    setting: Setting
    factors: Grid
    attributors: Grid
    figure: Figure | None


def home(of: Pages) -> Page:
    """The first page: both leaderboards of each setting."""
    tags = {protocol.newest.protocol_digest: protocol.newest.task.tags for protocol in of.protocols}
    paths = {protocol.newest.protocol_digest: task_path(protocol.newest) for protocol in of.protocols}
    first = of.found.standings[0].setting
    sections = []
    for place, standing in enumerate(of.found.standings):
        title = setting_title(standing.setting)
        name = "factors" if len(of.found.standings) == 1 else f"factors-{place + 1}"
        sections.append(
            Section(
                title,
                apart(first, standing.setting),
                standing.setting,
                report_tables.factor_grid(standing, dict(tags), lambda protocol: paths.get(protocol, "")),
                report_tables.attributor_grid(standing, attributor_path),
                report_figures.factors(standing.factors, name, f"Identifiability of each factor ({title})"),
            )
        )
    shown = {
        "sections": sections,
        "presets": sorted({one.setting.preset for one in of.found.standings}),
        "corpora": sorted({one.setting.corpus for one in of.found.standings}),
        "tags": sorted({tag for own in tags.values() for tag in own}),
        "results": sum(len(protocol.results) for protocol in of.protocols),
        "faults": of.found.faults,
    }
    figures = [section.figure for section in sections if section.figure]
    return Page("index.html", "Natural fingerprints", "home.html", shown, figures, _all_provenance(of))


def apart(first: Setting, other: Setting) -> str:
    """Say why figures of two settings must not stand in one table; nothing for one and the same."""
    differ = [name for name in Setting.model_fields if getattr(first, name) != getattr(other, name)]
    if not differ:
        return ""
    said = ", ".join(f"{name.replace('_', ' ')} ({_said(getattr(other, name))})" for name in differ)
    return (
        f"A table of its own, for figures of other settings do not compare with the first table's. Here differ: {said}."
    )


def _said(value_: Any) -> str:
    if isinstance(value_, Mapping):
        return ", ".join(f"{name}={one}" for name, one in value_.items()) or "none"
    return "none" if value_ is None else str(value_)


def task(of: Pages, protocol: Protocol) -> Page:
    """The page of one task in one protocol."""
    path, result = protocol.results[-1]
    logs, log_note = report_texts.training_logs(result, of.store)
    by_curve = list(report_figures.curves(result))
    parts: dict[str, list[Figure | None]] = {
        "scores": [report_figures.accuracy(protocol), report_figures.confusion(protocol)],
        "models": [report_figures.training(result, logs), report_figures.parity(result)],
        "curves": list(by_curve),
        "apart": list(report_figures.mean_kl(result)),
        "evidence": [report_figures.wording(result), *report_figures.evidence(result)],
        "robustness": [report_figures.robustness(result)],
    }
    drawn = {name: [figure for figure in figures if figure] for name, figures in parts.items()}
    link = _attributor_link(of)
    others = [
        (setting_title(other.setting), task_path(other.newest))
        for other in of.protocols
        if other is not protocol and other.newest.task.name == result.task.name
    ]
    shown = {
        "result": result,
        "setting": setting_title(protocol.setting),
        "tiles": tiles(of.row(protocol)),
        "findings": list(findings(result.study)) if result.study else [],
        "failures": result.failures,
        "recipe": recipe_grid(result),
        "common": common_settings(result),
        "variants": report_tables.of_sheet(variants_sheet(result)),
        "boards": [report_tables.board_grid(board, link) for board in _boards(of, protocol)],
        "figures": drawn,
        "log_note": log_note,
        "texts": report_texts.sample_texts(result, of.answers(path, result), of.store),
        "checks": result.checks,
        "others": others,
    }
    figures = [figure for name in drawn for figure in drawn[name]]
    title = f"{result.task.name}: {result.factor.name}"
    made = [provenance(one) for _, one in reversed(protocol.results)]
    return Page(task_path(result), title, "task.html", shown, figures, made)


def _boards(of: Pages, protocol: Protocol) -> list[Board]:
    own = protocol.newest.protocol_digest
    boards = [board for board in of.found.boards if board.protocol_digest == own]
    return sorted(boards, key=lambda board: board.target != "level")


def _attributor_link(of: Pages) -> report_tables.Link:
    known = set(of.attributors)
    return lambda name: attributor_path(name) if name in known else ""


def tiles(row: FactorRow) -> list[tuple[str, str, str]]:
    """The figures that a page opens with: name, figure, what it is of."""
    main, where = row.unseen or row.seen, "unseen runs" if row.unseen else "seen runs"
    found = []
    if main:
        found.append(("identifiability", spread(main.reference), f"{row.reference}, {where}"))
        found.append(("of the best", value(main.best, 2), f"{', '.join(main.best_attributors)}, {where}"))
    if row.seen:
        found.append(("ceiling", value(row.seen.ceiling, 2), "the likelihoods, seen runs"))
    if row.mutual_information:
        found.append(("bits in a text", interval(row.mutual_information, 2), "mutual information with the level"))
    found.append(("p", significance(row), "of the factor" if row.permutation else "of these runs alone"))
    if row.detectable is not None:
        found.append(("would be found", number(row.detectable, 2), "identifiability, power 0.8"))
    return [tile for tile in found if tile[1]]


def recipe_grid(result: Result) -> Grid:
    """What varies: the settings in which the variants are not all alike; seeds of replicates among them."""
    flat = {variant.name: dict(flatten(variant.settings)) for variant in result.variants}
    paths = list(dict.fromkeys(path for settings in flat.values() for path in settings))
    differ = [path for path in paths if len({repr(settings.get(path)) for settings in flat.values()}) > 1]
    differ.sort(key=lambda path: path not in result.factor.fields)
    titles = [f"{path} (the factor)" if path in result.factor.fields else path for path in differ]
    columns = [report_tables.Column(name) for name in ("variant", "level", "replicate", *titles)]
    rows = [
        report_tables.TableRow(
            [
                report_tables.Cell(str(cell))
                for cell in (of.name, of.level, of.replicate, *(flat[of.name].get(path, "") for path in differ))
            ]
        )
        for of in result.variants
    ]
    caption = (
        f"All other settings are the same for every variant. The factor is {result.factor.name}; replicates differ in "
        "their seeds only."
    )
    return Grid("What varies", columns, [report_tables.Group(rows)], caption)


def common_settings(result: Result) -> Facts:
    """Settings that all variants share."""
    flat = [dict(flatten(variant.settings)) for variant in result.variants]
    return [
        (path, str(value_))
        for path, value_ in (flat[0] if flat else {}).items()
        if all(other.get(path) == value_ for other in flat)
    ]


def attributor(of: Pages, name: str) -> Page:
    """The page of one attributor: card, scores, cost, calibration."""
    columns = [report_tables.Column("task"), report_tables.Column("identifiability, 95%")]
    right = ("rank", "accuracy", "identifiability", "bits", "fit, s", "predict, s", "memory, MB")
    columns += [report_tables.Column(title, right=True) for title in right]
    groups: dict[str, list[report_tables.TableRow]] = {}
    per_task: list[dict[str, Any]] = []
    guesses: dict[str, list[Any]] = {}
    known: dict[str, str] = {}
    several = len(of.found.standings) > 1
    for protocol in of.protocols:
        if name not in protocol.main:
            continue
        score, result = protocol.main[name], protocol.newest
        title = setting_title(protocol.setting)
        known[score.attributor.version] = score.attributor.digest or ""
        path = protocol.scores[score.target, score.split][name][0]
        rank = next(
            row.rank
            for board in _boards(of, protocol)
            if (board.target, board.split) == (score.target, score.split)
            for row in board.rows
            if row.attributor == name
        )
        found = score.metrics.get("identifiability")
        spent = protocol.seconds.get(f"level/{name}", {})
        memory = next(
            (m for _, one in reversed(protocol.results) if (m := one.run.memory_mb.get(f"level/{name}"))), None
        )
        numbers = [
            ("" if rank is None else str(rank), rank),
            (interval(score.metrics.get("accuracy")), _of(score.metrics.get("accuracy"))),
            (value(found), _of(found)),
            (value(score.metrics.get("bits")), _of(score.metrics.get("bits"))),
            *((f"{spent[part]:,.1f}" if part in spent else "", spent.get(part)) for part in ("fit", "predict")),
            (f"{memory:,}" if memory else "", memory),
        ]
        told = result.task.name if not score.error else f"{result.task.name} (failed: {score.error})"
        cells = [
            report_tables.Cell(told, task_path(result)),
            report_tables.Cell(sort=_of(found), bar=report_tables.bar(found)),
        ]
        cells += [report_tables.Cell(text, sort=sort) for text, sort in numbers]
        groups.setdefault(title, []).append(report_tables.TableRow(cells))
        if found is None:
            continue
        per_task.append({"task": result.task.name, "part": title, **report_figures.estimate(found)})
        if result.task.control is None:
            guesses.setdefault(title, []).append(report_texts.guesses(of.answers(path, result), score))
    made = [report_tables.Group(rows, title if several else "") for title, rows in groups.items()]
    caption = (
        "Levels, on the split that a task is about. Rank among the attributors of that task; seconds and memory are "
        "those of telling levels, as measured where they ran."
    )
    calibrated = [{"part": title, **one} for title, own in guesses.items() for one in report_texts.calibration(own)]
    figures = [report_figures.over_tasks(per_task, name), report_figures.calibration(calibrated, name)]
    drawn = [figure for figure in figures if figure]
    shown = {
        "name": name,
        "card": card(name, known),
        "scores": Grid("Scores on every task", columns, made, caption),
        "figures": drawn,
    }
    return Page(attributor_path(name), name, "attributor.html", shown, drawn, _all_provenance(of))


def _of(found: Any) -> float | None:
    return None if found is None else float(found.value)


def card(name: str, known: Mapping[str, str]) -> Facts:
    """What the card of an attributor says, and which versions the scores are of, by digest."""
    versions = ", ".join(f"{version} ({made[:12] or 'no digest'})" for version, made in known.items())
    scored = ("scores are of version", versions)
    found = next((one for one in registry.bundled() if one.name == name), None)
    if found is None:
        return [("card", "not one of the bundled baselines: its card is with its folder"), scored]
    of = found.card
    facts = [
        ("summary", of.summary),
        ("authors", ", ".join(of.authors)),
        ("version", of.version),
        ("paper", of.paper or ""),
        ("licence", of.licence),
        ("tags", ", ".join(of.tags)),
        ("cost", of.cost + (", a floor: it looks at no text" if of.floor else "")),
        ("requires", ", ".join(of.requires)),
        ("limits of a fit", f"{of.limits.seconds:,.0f} s, {of.limits.memory_mb:,} MB"),
        scored,
    ]
    if found.digest not in known.values():
        facts.append(("note", "the scores are of other files than the ones that this card came with"))
    return [(what, said) for what, said in facts if said]


def validity(of: Pages) -> Page:
    """The page of what makes the figures trustworthy: controls, coverage and size under the null, checks."""
    rows: list[dict[str, Any]] = []
    covered = below = tested = told = 0
    for protocol in of.protocols:
        control = protocol.newest.task.control
        if control is None:
            continue
        for name, score in protocol.main.items():
            found = score.metrics.get("accuracy")
            if found is None:
                continue
            part = {"negative": "must be at chance", "positive": "must be above it"}[control]
            place = {"task": protocol.newest.task.name, "setting": setting_title(protocol.setting), "attributor": name}
            rows.append({**place, "part": part, **report_figures.estimate(score.metrics["identifiability"])})
            # A floor answers chance whatever it is asked: it would only make the counts look better.
            if control == "negative" and not score.attributor.floor:
                if found.low is not None and found.high is not None:
                    told += 1
                    covered += found.low <= score.chance <= found.high
                if score.log10_p is not None:
                    tested += 1
                    below += 10**score.log10_p < 0.05
    checks = [
        (protocol.newest.task.name, setting_title(protocol.setting), task_path(protocol.newest), protocol.newest)
        for protocol in of.protocols
    ]
    columns = [report_tables.Column(name) for name in ("task", "setting", "checks that hold", "what does not")]
    lines = [
        report_tables.TableRow(
            [
                report_tables.Cell(name, path),
                report_tables.Cell(setting),
                report_tables.Cell(f"{sum(check.ok for check in result.checks)} of {len(result.checks)}"),
                report_tables.Cell("; ".join(result.failures)),
            ]
        )
        for name, setting, path, result in checks
    ]
    figure = report_figures.controls(rows)
    shown = {
        "figure": figure,
        "coverage": (covered, told),
        "size": (below, tested),
        "checks": Grid("Checks of every run", columns, [report_tables.Group(lines)], CHECKS),
        "faults": of.found.faults,
    }
    figures = [figure] if figure else []
    return Page("validity.html", "Validity", "validity.html", shown, figures, _all_provenance(of))


CHECKS = (
    "Every run checks that its models read the same training data, that likelihoods and sampler agree, and that no "
    "attributor is significantly above the ceiling."
)
