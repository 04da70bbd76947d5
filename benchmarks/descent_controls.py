"""Are ancestors found where there is one, and only there? Models of known history, asked about as a user would ask.

python benchmarks/descent_controls.py [--preset quick] [--baseline naive_bayes] [-o docs/descent_controls.md]

It runs `base_id` with strangers, and asks `identify --descent` about texts of models that this result has not seen.
Exit code 1 if a row does not hold. Models and texts are kept in the store: at `quick` the first time takes an hour or
more on two cores, and later ones take minutes.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from scipy.stats import binom

import natfp_bench
from natfp_bench import api
from natfp_bench.attributors import registry
from natfp_bench.pipeline import wanted
from natfp_bench.pipeline.engine import Engine
from natfp_bench.pipeline.schedule import Schedule
from natfp_bench.pipeline.stages.sample import read_table
from natfp_bench.pipeline.store import Store, default_root
from natfp_bench.pipeline.variants import resolve
from natfp_bench.results import identify
from natfp_bench.results.descent import descent
from natfp_bench.results.identification import Descent
from natfp_bench.results.unlabelled_texts import GivenText
from natfp_bench.statistics.verification import ALPHA

DOCUMENT = Path(__file__).parents[1] / "docs" / "descent_controls.md"

STRANGERS, TEXTS = 19, 100

OTHERS = "{other0: 10, other1: 11, other2: 12, other3: 13}"
"""Levels of runs whose seeds no base has, and no stranger."""

RUNS = f"{{name: run, fields: [seeds.init, seeds.data_order, seeds.dropout], levels: {OTHERS}}}\nreplicates: 1"

TASKS = {
    "others_id": f"factor: {RUNS}",
    "others_tuned_id": f"factor: {RUNS}\nsettings: {{finetune: {{share: 0.25, parts: 5, lr: 0.25}}}}",
    "others_taught_id": f"factor: {{name: teacher, fields: [teacher.run], levels: {OTHERS}}}\n"
    "settings: {seeds: {init: 100, data_order: 100, dropout: 100}}",
}
"""Tasks that the package does not have. Only the first run of each level is made, and no question is asked."""


@dataclass(frozen=True)
class Control:
    """Models of one history.

    task: it makes them, one for each level. related: whether level i is of base i. certain: whether the base has to be
    shown for every one of them.
    """

    name: str
    task: str
    related: bool = False
    certain: bool = False


CONTROLS = (
    Control("the bases themselves, before any fine-tuning", "seed_id", related=True, certain=True),
    Control("students of the bases, trained from nothing on their texts", "teacher_id", related=True),
    Control("runs of other seeds", "others_id"),
    Control("fine-tunings of runs of other seeds, made as those of the bases", "others_tuned_id"),
    Control("students of runs of other seeds", "others_taught_id"),
)


@dataclass(frozen=True)
class Outcome:
    """What was answered about the models of a control: how often their base was shown, and how often another one."""

    control: Control
    asked: int
    right: int
    wrong: int
    p: tuple[float, ...]

    @property
    def most(self) -> int:
        """How many may be shown wrongly: with more of them, p is not what it says it is."""
        return int(binom.ppf(0.999, self.asked, ALPHA))

    @property
    def holds(self) -> bool:
        """Whether the answers are as they have to be."""
        return self.wrong <= self.most and (self.right == self.asked or not self.control.certain)

    @staticmethod
    def of(control: Control, answers: Sequence[Descent]) -> Outcome:
        """Count; answers: of each level, in the order of levels."""
        shown = [(level, one.shown.ancestor) for level, one in enumerate(answers) if one.shown]
        right = sum(control.related and ancestor == f"base{level}" for level, ancestor in shown)
        p = tuple(one.pairs[0].p_adjusted for one in answers)
        return Outcome(control, len(answers), right, len(shown) - right, p)


def task_file(name: str, body: str) -> str:
    """YAML of a task."""
    return f"task: {name}\nversion: 1\nsummary: Runs of other seeds.\n{body}\n"


def texts(task: str, preset: str, folder: Path, store: Store, engine: Engine) -> Iterator[list[GivenText]]:
    """Train the first run of each level, or find it; yields some texts of each."""
    plan = api.plan_task(task, preset, include=[folder])
    first = [of for of in resolve(plan) if of.variant.replicate == 0]
    Schedule(store, engine, "cpu", lambda _: None).drive(wanted.texts(plan, first))
    for of in first:
        every = read_table(store, of.samples, plan.texts)["text"].to_pylist()
        yield [GivenText(of.name, row, text) for row, text in enumerate(every, 1) if text.strip()][:TEXTS]


def run(preset: str, name: str, folder: Path) -> list[Outcome]:
    """Make everything, and ask; name: of a baseline, or its folder; folder: for the result and for files of tasks."""
    [baseline] = registry.find(name)
    for task, body in TASKS.items():
        (folder / f"{task}.yaml").write_text(task_file(task, body), encoding="utf-8")
    store = Store(default_root())
    settings = {"analysis.strangers": STRANGERS}
    known = natfp_bench.run(
        "base_id", preset=preset, settings=settings, baselines=["majority", name], output=folder / "results"
    )
    source = identify.open_source(known.path, "level", store.root)
    outcomes = []
    with closing(api.local_engine(None)) as engine:
        for control in CONTROLS:
            print(f"asking about {control.name}", flush=True)
            given = texts(control.task, preset, folder, store, engine)
            answers = [descent(source, baseline, one, engine, lambda _: None) for one in given]
            outcomes.append(Outcome.of(control, answers))
    return outcomes


def document(outcomes: Sequence[Outcome], preset: str, baseline: str) -> str:
    """Markdown of all outcomes."""
    lines = [
        "# Controls of descent",
        "",
        "Here `natfp-bench identify --descent` is asked about models whose history is known: did a descendant of one "
        "of the four bases of `base_id` write these texts? `python benchmarks/descent_controls.py` writes this "
        f"document (preset `{preset}`, `{baseline}`, {TEXTS} texts of each model, {STRANGERS} strangers), and exits "
        "with 1 if a row does not hold. "
        f"A base is shown if its corrected p is at most {ALPHA}; no p is smaller than {1 / (1 + STRANGERS)}. "
        "The classifier has learnt from fine-tunings of the bases. None of the models below took part in that.",
        "",
        "| models | asked | their base is shown | another one is shown | allowed | smallest p of each | holds |",
        "| --- | ---: | ---: | ---: | ---: | --- | --- |",
    ]
    for one in outcomes:
        right = str(one.right) if one.control.related else "they have none"
        p = ", ".join(f"{value:.2f}" for value in one.p)
        verdict = "yes" if one.holds else "**no**"
        lines.append(f"| {one.control.name} | {one.asked} | {right} | {one.wrong} | {one.most} | {p} | {verdict} |")
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Make and ask; 1 if a row does not hold."""
    parser = argparse.ArgumentParser(description="Ask about the descent of models of known history.")
    parser.add_argument("--preset", default="quick")
    parser.add_argument("--baseline", default="naive_bayes")
    parser.add_argument("-o", "--output", type=Path, default=DOCUMENT)
    options = parser.parse_args(arguments)
    with TemporaryDirectory() as folder:
        outcomes = run(options.preset, options.baseline, Path(folder))
    options.output.write_text(document(outcomes, options.preset, options.baseline), encoding="utf-8")
    print(options.output.read_text(encoding="utf-8"))
    return 0 if all(one.holds for one in outcomes) else 1


if __name__ == "__main__":
    raise SystemExit(main())
