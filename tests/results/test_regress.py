"""Regression on metrics: a weakened attributor is caught, luck and rounding are not, other texts are refused."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import json
import math
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import scipy.stats
from markdown_it import MarkdownIt

from natfp_bench.base.errors import UserError
from natfp_bench.cli import main as cli
from natfp_bench.pipeline.result import (
    AttributorId,
    CorpusResult,
    FactorResult,
    Result,
    RunInfo,
    SampleResult,
    Score,
    TaskId,
)
from natfp_bench.pipeline.scoring import PREDICTIONS
from natfp_bench.report import regression_formats as regress_formats
from natfp_bench.results import regress, regress_reference
from natfp_bench.results.regress import Finding, Report, flip_p
from natfp_bench.results.regress_reference import Place
from natfp_bench.statistics import metrics
from natfp_bench.statistics.metrics import Floats, Ints

CLASSES = ("a", "b", "c", "d")
TEXTS = 2000
TRUTH = np.arange(TEXTS) % len(CLASSES)
HOSTILE = "x|y <b> ::error::100%, \x1b[31m\r\n&"


def skilled(seed: int, strength: float = 1.5, truth: Ints = TRUTH) -> Floats:
    """Answers to texts of shared difficulty, by a classifier whose own luck hangs on its seed."""
    shared = np.random.default_rng(0).normal(size=(len(truth), len(CLASSES)))
    own = np.random.default_rng(seed).normal(size=shared.shape)
    logits = shared + 0.5 * own
    logits[np.arange(len(truth)), truth] += strength
    proba = np.exp(logits)
    return proba / proba.sum(axis=1, keepdims=True)


def weakened(proba: Floats, share: float, truth: Ints = TRUTH) -> Floats:
    """Answers that miss so many more of all texts: the truth changes places with another class."""
    right = np.flatnonzero(metrics.credits(proba, truth) == 1)
    missed = np.random.default_rng(1).permutation(right)[: round(share * len(truth))]
    changed, other = proba.copy(), (truth[missed] + 1) % len(CLASSES)
    changed[missed, truth[missed]], changed[missed, other] = proba[missed, other], proba[missed, truth[missed]]
    return changed


Given = Mapping[str, Floats | str]
"""What attributors answered, by name, or with which error they failed."""


def planted(
    folder: Path,
    given: Given,
    *,
    prompts: Ints | None = None,
    run: str = "1",
    started: str = "2026-01-01T00:00:00+00:00",
    order: Ints | None = None,
    code: str = "0",
    **changes: Any,
) -> Path:
    """Write a result with planted answers; returns the folder of results."""
    prompts = np.arange(TEXTS) if prompts is None else prompts
    rows = np.arange(TEXTS) if order is None else order
    scores, tables = [], []
    for name, answer in given.items():
        access = "likelihood" if name == "ceiling" else "text"
        who = AttributorId(name=name, version="1", digest=code, access=access, floor=False)
        frame: dict[str, Any] = {"split": "unseen_prompt", "target": "level", "classes": CLASSES, "chance": 0.25}
        if isinstance(answer, str):
            scores.append(Score(attributor=who, status="failed", error=answer, **frame))
            continue
        scores.append(Score(attributor=who, status="ok", n_test=TEXTS, **frame))
        columns = {
            "variant": [f"{CLASSES[label]}/r0" for label in TRUTH[rows]],
            "row": rows,
            "prompt": prompts[rows],
            "fold": np.zeros(TEXTS, dtype=np.int32),
            "split": ["unseen_prompt"] * TEXTS,
            "target": ["level"] * TEXTS,
            "attributor": [name] * TEXTS,
            "label": [CLASSES[label] for label in TRUTH[rows]],
            "proba": pa.ListArray.from_arrays(np.arange(TEXTS + 1, dtype=np.int32) * 4, answer[rows].ravel()),
        }
        tables.append(pa.table(columns, schema=PREDICTIONS))
    values: dict[str, Any] = {
        "protocol_digest": "p" * 64,
        "overrides": {},
        "seed": 0,
        "task": TaskId(name="seed_id", version=1, digest="t" * 64, tags=(), control=None),
        "preset": "quick",
        "factor": FactorResult(name="seed", fields=(), levels=CLASSES),
        "corpus": CorpusResult(name="chronicle", digest="c" * 64, documents=1, bytes=1, tokens=1),
        "variants": (),
        "samples": SampleResult(
            per_variant=500, max_tokens=8, prompted=False, mean_tokens=8.0, ended=0.0, digest="s" * 64
        ),
        "scores": tuple(scores),
        "likelihood": (),
        "mean_kl": None,
        "study": None,
        "checks": (),
        "run": RunInfo(id=run, command=(), started=started, seconds={}, work={}, attributors={}, environment={}),
    }
    for name, value in changes.items():
        section, _, key = name.partition("__")
        values[section] = values[section].model_copy(update={key: value}) if key else value
    result = Result(schema=1, **values)
    home = folder / result.task.name / result.preset / run
    home.mkdir(parents=True)
    (home / "result.json").write_text(result.to_json(), encoding="utf-8")
    pq.write_table(pa.concat_tables(tables) if tables else PREDICTIONS.empty_table(), home / "predictions.parquet")
    return folder


def current(folder: Path) -> regress_reference.Current:
    return regress_reference.read_current(sorted(folder.rglob("result.json")))


class Comparing:
    """Plant answers before and now, compare them, and find what became of one attributor."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.numbers = folder, itertools.count()

    def __call__(self, before: Given, now: Given, *, prompts: Ints | None = None, **options: Any) -> Report:
        folder = self.folder / str(next(self.numbers))
        regress_reference.write(
            folder / "ref", current(planted(folder / "before", before, prompts=prompts)).answers.values()
        )
        found = current(planted(folder / "now", now, prompts=prompts))
        return regress.compare(regress_reference.read(folder / "ref"), found, name="ref", **options)


@pytest.fixture
def comparing(tmp_path: Path) -> Comparing:
    return Comparing(tmp_path)


def of(report: Report, attributor: str) -> Finding:
    (found,) = (finding for finding in report.findings if finding.place.attributor == attributor)
    return found


def change_of(report: Report, attributor: str) -> regress.Change:
    found = of(report, attributor).change
    assert found is not None
    return found


# The test of signs.


@pytest.mark.parametrize(("better", "worse"), [(0, 0), (1, 0), (3, 9), (60, 31), (400, 500), (0, 30)])
def test_flips_of_single_texts_are_the_binomial_test(better: int, worse: int) -> None:
    differences = np.repeat([1, -1, 0], [better, worse, 50])
    for p, hits in zip(flip_p(differences), (better, worse), strict=True):
        expected = scipy.stats.binomtest(hits, better + worse, alternative="greater").pvalue if better + worse else 1.0
        assert p == pytest.approx(expected, rel=1e-6, abs=1e-14)


@pytest.mark.parametrize("sizes", [(1, 2, 3, 4, 5, 6, 7, 8, 9, 10), (5040, 2520, 1680, 1260, 1, 1, 5039, 84)])
def test_flips_of_prompts_are_all_of_them(sizes: tuple[int, ...]) -> None:
    """Against the exact distribution, sign by sign in whole numbers; 40 prompts, whose 2^40 flips nobody lists."""
    differences = np.random.default_rng(0).permutation(np.array([*sizes] * (40 // len(sizes))))
    differences[::3] *= -1
    ways = Counter({0: 1})
    for size in differences.tolist():
        ways = Counter({s: ways[s - size] + ways[s + size] for s in {t + d for t in ways for d in (size, -size)}})
    assert sum(ways.values()) == 2 ** len(differences)
    observed = int(differences.sum())
    high = Fraction(sum(n for s, n in ways.items() if s >= observed), 2 ** len(differences))
    low = Fraction(sum(n for s, n in ways.items() if s <= observed), 2 ** len(differences))
    assert flip_p(differences) == pytest.approx((float(high), float(low)), rel=1e-9)


def test_flips_agree_with_drawn_ones_where_credits_are_shared(comparing: Comparing) -> None:
    rng = np.random.default_rng(3)
    prompts = np.arange(TEXTS) // 20
    before, now = (np.round(skilled(seed), 1) for seed in (1, 2))  # rounded, so that classes tie
    credit = [metrics.credits(proba, TRUTH) for proba in (before, now)]
    assert set(np.unique(np.concatenate(credit))) > {0.0, 0.5, 1.0}
    change = change_of(comparing({"u": before}, {"u": now}, prompts=prompts), "u")
    assert change.test == "sign flips"
    for p, pair in ((change.p_better, credit[::-1]), (change.p_worse, credit)):
        drawn = metrics.paired_p(*pair, prompts, int(rng.integers(100)))
        assert 0.005 < p < 0.995
        assert p == pytest.approx(drawn, abs=4 * math.sqrt(p * (1 - p) / metrics.FLIPS) + 1e-3)


def test_odd_shares_of_many_texts_are_rounded_and_stay_right() -> None:
    rng = np.random.default_rng(6)
    prompts = np.arange(20_000) // 4
    before, now = rng.choice([0, 1 / 11, 1 / 7, 0.5, 1], size=(2, 20_000))
    assert np.abs(metrics.prompt_sums((now - before)[:, None], prompts)).sum() * regress.SHARES > regress.LATTICE
    test, worse, better = regress._test(before, now, prompts)
    assert test == "sign flips"
    assert worse + better == pytest.approx(1, abs=0.01)
    deviation = math.sqrt((metrics.prompt_sums((now - before)[:, None], prompts) ** 2).sum())
    assert better == pytest.approx(scipy.stats.norm.sf((now - before).sum() / deviation), abs=5e-3)


def test_flips_have_their_size_without_a_difference() -> None:
    """Texts of a prompt move together, in either direction alike: 400 experiments."""
    rng = np.random.default_rng(4)
    p = []
    for _ in range(400):
        prompt = rng.integers(-1, 2, size=(60, 1))
        p.append(flip_p((prompt * (rng.random((60, 10)) < 0.7)).sum(axis=1)))
    for level in (0.05, 0.2, 0.5):
        for side in np.array(p).T:
            assert (side <= level).mean() == pytest.approx(level, abs=4 * math.sqrt(level * (1 - level) / 400) + 0.01)


def test_a_hundred_comparisons_can_still_find_something(tmp_path: Path) -> None:
    """Ten thousand drawn flips would give no p-value below 1e-4, and none below 0.01 after Holm."""
    good, prompts = skilled(0), np.arange(TEXTS) // 4
    before = current(planted(tmp_path / "before", {"u": good}, prompts=prompts))
    now = current(planted(tmp_path / "now", {"u": weakened(good, 0.1)}, prompts=prompts))
    ((place, answers),) = before.answers.items()
    others = [place.model_copy(update={"attributor": f"same {i}"}) for i in range(110)]
    same = {other: dataclasses.replace(answers, place=other) for other in others}
    texts = dict.fromkeys([place, *others], now.texts[place])
    found = dataclasses.replace(now, answers={**now.answers, **same}, texts=texts)
    report = regress.compare({**before.answers, **same}, found, name="ref")
    assert report.counts == {"regression": 1, "same": 110}
    assert change_of(report, "u").p_worse < 1e-6


# What counts as a regression.


@pytest.mark.parametrize("texts_of_a_prompt", [1, 4])
def test_a_baseline_weakened_by_a_tenth_is_caught(comparing: Comparing, texts_of_a_prompt: int) -> None:
    good, prompts = skilled(1), np.arange(TEXTS) // texts_of_a_prompt
    others = {f"other {i}": skilled(i) for i in range(2, 12)}
    report = comparing({"u": good, **others}, {"u": weakened(good, 0.1), **others}, prompts=prompts)
    assert report.counts == {"regression": 1, "same": 10}
    assert not report.ok
    change = change_of(report, "u")
    assert change.gain == pytest.approx(-0.1, abs=1e-3)
    assert change.differing == 200
    assert change.test == ("mcnemar" if texts_of_a_prompt == 1 else "sign flips")
    assert change.p_worse < 1e-9
    assert change.p_better == 1.0
    assert change.bits.high is not None
    assert change.bits.high < 0
    back = comparing({"u": weakened(good, 0.1)}, {"u": good}, prompts=prompts)
    assert back.ok
    assert back.counts == {"improvement": 1}


def test_an_equivalent_refactoring_is_not_flagged(comparing: Comparing) -> None:
    """Answers that are the same up to 1e-7, those with exact ties included."""
    rng = np.random.default_rng(5)
    before = {"u": skilled(1), "majority": np.full((TEXTS, 4), 0.25), "sure": np.eye(4)[TRUTH]}
    now = {}
    for name, proba in before.items():
        moved = np.clip(proba + rng.uniform(-1e-7, 1e-7, proba.shape), 0, None)
        now[name] = moved / moved.sum(axis=1, keepdims=True)
    report = comparing(before, now)
    assert report.counts == {"same": 3}
    assert max(finding.change.differing for finding in report.findings if finding.change) <= 2
    assert change_of(report, "majority").differing == 0  # what is tied stays tied
    assert abs(change_of(report, "u").bits.value) < 1e-4


def test_another_seed_of_the_same_skill_is_not_flagged(comparing: Comparing) -> None:
    before, now = ({f"u{i}": skilled(1000 * side + i) for i in range(30)} for side in (1, 2))
    report = comparing(before, now)
    assert report.counts == {"same": 30}
    assert min(finding.change.differing for finding in report.findings if finding.change) > 100


def test_the_same_answers_are_the_same(comparing: Comparing) -> None:
    given = {"u": skilled(1), "ceiling": skilled(2, 6.0)}
    report = comparing(given, given)
    for finding in report.findings:
        change = finding.change
        assert change is not None
        assert (change.differing, change.gain, change.p_worse, change.p_better) == (0, 0.0, 1.0, 1.0)
        assert (change.bits.value, change.bits.low, change.bits.high) == (0.0, 0.0, 0.0)
        assert change.code == "same"
        assert regress_formats.sentence(finding).endswith("unseen_prompt: the same answers")


def test_p_values_are_those_of_mcnemar_after_holm_by_hand(comparing: Comparing) -> None:
    shares = {"first": 0.02, "second": 0.01, "third": 0.0}
    before = {name: skilled(i) for i, name in enumerate(shares)}
    now = {}
    for name, share in shares.items():
        # Some texts are lost, and others are gained: a text for every three.
        lost = weakened(before[name], share)
        wrong = np.flatnonzero(metrics.credits(before[name], TRUTH) == 0)[: round(share * TEXTS / 3)]
        lost[wrong] = np.eye(4)[TRUTH[wrong]]
        now[name] = lost
    report = comparing(before, now)
    raw = [
        scipy.stats.binomtest(lost, lost + gained, alternative="greater").pvalue
        for lost, gained in ((40, 13), (20, 7), (0, 0))
        if lost
    ]
    assert raw[0] < raw[1]
    assert change_of(report, "first").p_worse == pytest.approx(3 * raw[0])
    assert change_of(report, "second").p_worse == pytest.approx(max(3 * raw[0], 2 * raw[1]))
    assert change_of(report, "third").p_worse == 1.0


def test_bits_are_those_of_the_paired_bootstrap(comparing: Comparing) -> None:
    prompts = np.arange(TEXTS) // 3  # the last prompt has fewer texts
    before, now = {"u": skilled(1), "v": skilled(2)}, {"u": skilled(3), "v": skilled(4, 2.0)}
    report = comparing(before, now, prompts=prompts)
    for name in before:
        difference = metrics.bits(now[name], TRUTH) - metrics.bits(before[name], TRUTH)
        expected, found = metrics.mean_interval(difference, prompts, 0), change_of(report, name).bits
        assert (found.units, found.n_units, found.method) == ("prompts", 667, "bootstrap")
        assert (found.value, found.low, found.high) == pytest.approx(
            (expected.value, expected.low, expected.high), abs=1e-4
        )


@pytest.mark.parametrize(
    ("share", "options", "verdict"),
    [
        (0.02, {}, "moved"),  # significant, but 0.02 is no drop of more than 0.02
        (0.0205, {}, "regression"),
        (0.0205, {"drop": 0.05}, "moved"),
        (0.0205, {"alpha": 1e-13}, "moved"),  # then told by its bits alone
        (0.001, {}, "same"),
    ],
)
def test_a_regression_is_significant_and_large(
    comparing: Comparing, share: float, options: dict[str, float], verdict: str
) -> None:
    good = np.where(np.eye(4)[TRUTH] == 1, 0.97, 0.01)
    report = comparing({"u": good}, {"u": weakened(good, share)}, **options)
    assert of(report, "u").verdict == verdict
    assert report.ok is (verdict != "regression")


def test_worse_probabilities_of_the_same_guesses_are_told(comparing: Comparing) -> None:
    good = skilled(1)
    vague = 0.5 * good + 0.125
    report = comparing({"u": good}, {"u": vague})
    assert (of(report, "u").verdict, report.ok) == ("moved", True)
    assert change_of(report, "u").differing == 0
    assert change_of(report, "u").bits.value < -0.02


def test_one_shared_credit_makes_it_a_test_of_signs(comparing: Comparing) -> None:
    good = skilled(1)
    tied = good.copy()
    tied[0] = 0.25
    assert change_of(comparing({"u": good}, {"u": good}), "u").test == "mcnemar"
    assert change_of(comparing({"u": good}, {"u": tied}), "u").test == "sign flips"


# What is there and what is not.


def test_what_failed_vanished_or_is_new(comparing: Comparing) -> None:
    before = {"u": skilled(1), "v": skilled(2), "w": skilled(3), "ceiling": skilled(4, 6.0)}
    now = {"u": skilled(1), "v": "fit raised", "x": skilled(5), "y": "no module", "ceiling": skilled(4, 2.0)}
    report = comparing(before, now)
    verdicts = {finding.place.attributor: finding.verdict for finding in report.findings}
    assert verdicts == {
        "ceiling": "regression", "v": "failed", "y": "failed", "w": "missing", "x": "new", "u": "same"
    }  # fmt: skip
    assert of(report, "v").error == "fit raised"
    assert [report.fails(finding) for finding in report.findings] == [True] * 4 + [False] * 2
    del before["ceiling"], before["v"]
    allowed = comparing(before, {"u": skilled(1)}, allow_missing=True)
    assert (allowed.counts, allowed.ok) == ({"missing": 1, "same": 1}, True)
    assert not comparing(before, {"u": skilled(1)}).ok


def test_a_task_vanishes_and_comes_as_one(tmp_path: Path) -> None:
    given = {"u": skilled(1), "v": skilled(2)}
    both = planted(tmp_path / "both", given)
    planted(both, given, task__name="lr_id", protocol_digest="q" * 64)
    one = planted(tmp_path / "one", given)
    more, less = current(both), current(one)
    lost = regress.compare(more.answers, less, name="ref")
    assert next((str(finding.place), finding.verdict) for finding in lost.findings) == ("lr_id (quick)", "missing")
    assert lost.counts == {"missing": 1, "same": 2}
    assert not lost.ok
    assert regress.compare(more.answers, less, name="ref", allow_missing=True).ok
    gained = regress.compare(less.answers, more, name="ref")
    assert (gained.counts, gained.ok) == ({"new": 1, "same": 2}, True)
    other = current(planted(tmp_path / "other", given, task__name="lr_id", protocol_digest="q" * 64))
    with pytest.raises(UserError, match="no score in common"):
        regress.compare(less.answers, other, name="ref", allow_missing=True)


def test_the_newest_score_counts_and_the_order_of_rows_does_not(tmp_path: Path) -> None:
    good, now = skilled(1), tmp_path / "now"
    before = current(planted(tmp_path / "before", {"u": good})).answers
    planted(now, {"u": weakened(good, 0.2)}, run="old", started="2025-01-01T00:00:00+00:00")
    planted(now, {"u": good}, run="new", order=np.random.default_rng(0).permutation(TEXTS), code="1")
    planted(now, {"v": good}, run="newest", started="2027-01-01T00:00:00+00:00")
    report = regress.compare(before, current(now), name="ref")
    assert report.counts == {"new": 1, "same": 1}
    assert change_of(report, "u").differing == 0
    assert change_of(report, "u").code == "changed"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"task__version": 2}, ["task version: 1 in the reference, 2 in the results", "protocol digest: pppp"]),
        ({"task__digest": "u" * 64}, ["task digest: tttttttttttt in the reference, uuuuuuuuuuuu in the results"]),
        ({"preset": "smoke"}, ["preset: quick in the reference, smoke in the results"]),
        ({"corpus__name": "text:x", "corpus__digest": "d" * 64}, ["corpus: chronicle in", "corpus digest: cccc"]),
        ({"seed": 1}, ["seed: 0 in the reference, 1 in the results"]),
        ({"overrides": {"optimizer.lr": 0.1}}, ['overrides: {} in the reference, {"optimizer.lr":0.1} in the results']),
        ({"fixed_texts": "f" * 64}, ["fixed texts: None in the reference, ffffffffffff in the results"]),
        ({"protocol_digest": "p" * 64, "samples__digest": "x" * 64}, ["texts: ssssssssssss in", "--fixed-texts"]),
        ({"protocol_digest": "p" * 64, "prompts": np.arange(TEXTS) // 2}, ["rows (level, unseen_prompt): "]),
    ],
)  # fmt: skip
def test_other_texts_are_refused_with_what_differs(tmp_path: Path, changes: dict[str, Any], said: list[str]) -> None:
    before = current(planted(tmp_path / "before", {"u": skilled(1)})).answers
    now = current(planted(tmp_path / "now", {"u": skilled(1)}, **{"protocol_digest": "q" * 64} | changes))
    with pytest.raises(UserError) as caught:
        regress.compare(before, now, name="my.parquet", allow_missing=True)
    assert caught.value.exit_code == 2
    for part in ["my.parquet and the results", "seed_id (quick):", *said, "natfp-bench regress --reference my.parquet"]:
        assert part in str(caught.value)


# The file.


def test_a_reference_reads_back_and_is_compact(tmp_path: Path) -> None:
    given = {f"u{i}": skilled(i) for i in range(8)} | {
        "ceiling": skilled(9, 8.0),
        "majority": np.full((TEXTS, 4), 0.25),
    }
    found = current(planted(tmp_path / "now", given, fixed_texts="f" * 64)).answers
    path = tmp_path / "deep" / "folder" / "ref.parquet"
    regress_reference.write(path, found.values())
    again = regress_reference.read(path)
    assert set(again) == set(found)
    by_variant = np.argsort(TRUTH, kind="stable")
    for place, answers in found.items():
        assert (again[place].setup, again[place].who, again[place].rows) == (answers.setup, answers.who, answers.rows)
        assert np.array_equal(again[place].steps, answers.steps)
        assert np.abs(answers.steps / 65535 - given[place.attributor][by_variant]).max() < 1e-5
    assert path.stat().st_size < 2 * 4 * TEXTS * len(given)
    first = path.read_bytes()
    regress_reference.write(path, reversed([*again.values()]))
    assert path.read_bytes() == first
    assert [one.name for one in path.parent.iterdir()] == ["ref.parquet"]


def damaged(path: Path, how: str) -> None:
    data = bytearray(path.read_bytes())
    match how:
        case "cut short":
            path.write_bytes(data[: len(data) // 2])
        case "a bit":
            data[len(data) // 3] ^= 1
            path.write_bytes(data)
        case "no parquet":
            path.write_text("no table")
        case "empty":
            path.write_bytes(b"")
        case "another table":
            pq.write_table(pa.table({"a": [1]}), path)
        case "another version":
            table = pq.read_table(path)
            pq.write_table(table.replace_schema_metadata({regress_reference.MARK: b"99"}), path)
        case "other columns":
            pq.write_table(pq.read_table(path).drop_columns("access"), path)
        case "an odd number":
            table = pq.read_table(path)
            place = table.schema.get_field_index("classes")
            pq.write_table(table.set_column(place, "classes", pa.array([7] * len(table), pa.int64())), path)
        case "no name":
            table = pq.read_table(path)
            place = table.schema.get_field_index("name")
            pq.write_table(table.set_column(place, "name", pa.array([None] * len(table), pa.string())), path)
        case "a folder":
            path.unlink()
            path.mkdir()
        case "gone":
            path.unlink()


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("cut short", "damaged"), ("a bit", "damaged"), ("no parquet", "damaged"), ("empty", "damaged"),
        ("another table", "no reference"), ("another version", "a reference of schema 99"),
        ("other columns", "damaged"),
        ("an odd number", "damaged"), ("no name", "damaged"), ("a folder", "is a folder"), ("gone", "no reference at"),
    ],
)  # fmt: skip
def test_a_damaged_reference_is_one_message(tmp_path: Path, how: str, said: str) -> None:
    path = tmp_path / "ref.parquet"
    regress_reference.write(path, current(planted(tmp_path / "now", {"u": skilled(1)})).answers.values())
    damaged(path, how)
    with pytest.raises(UserError, match=said) as caught:
        regress_reference.read(path)
    assert str(path) in str(caught.value)
    assert "\n  " in str(caught.value)  # how to mend it


@pytest.mark.parametrize("how", ["gone", "cut short", "rows", "classes", "nan", "negative", "null", "label", "columns"])
def test_damaged_results_are_one_message(tmp_path: Path, how: str) -> None:
    planted(tmp_path, {"u": skilled(1)})
    (path,) = tmp_path.rglob("predictions.parquet")
    table = pq.read_table(path)
    lists = table["proba"].to_pylist()
    match how:
        case "gone":
            path.unlink()
        case "cut short":
            path.write_bytes(path.read_bytes()[:1000])
        case "rows":
            pq.write_table(table.slice(1), path)
        case "columns":
            pq.write_table(table.drop_columns("fold"), path)
        case "label":
            pq.write_table(table.set_column(7, "label", pa.array(["z"] * TEXTS)), path)
        case "classes":
            lists[0] = lists[0][:3]
        case "nan":
            lists[5][0] = math.nan
        case "negative":
            lists[5][0] = -0.1
        case "null":
            lists[5][0] = None
    if how in ("classes", "nan", "negative", "null"):
        pq.write_table(table.set_column(8, "proba", pa.array(lists, pa.list_(pa.float64()))), path)
    with pytest.raises(UserError, match="missing or damaged") as caught:
        current(tmp_path)
    assert str(path) in str(caught.value)
    assert "run seed_id again" in str(caught.value)


def test_a_damaged_result_is_one_message(tmp_path: Path) -> None:
    planted(tmp_path, {"u": skilled(1)})
    (path,) = tmp_path.rglob("result.json")
    path.write_text(path.read_text()[:-100])
    with pytest.raises(UserError, match=r"damaged, not JSON(.|\n)*run these tasks again"):
        current(tmp_path)


# The command.


@pytest.fixture
def called(natfp: Callable[..., tuple[int, str, str]]) -> Callable[..., tuple[int, str, str]]:
    """Call `natfp-bench regress`."""
    return functools.partial(natfp, "regress")


BEFORE: Given = {"u": skilled(1), "good": skilled(2), "gone": skilled(3), HOSTILE: skilled(4), "still": skilled(5)}
NOW: Given = {
    "u": weakened(skilled(1), 0.1),
    "good": skilled(2, 2.5),
    HOSTILE: weakened(skilled(4), 0.2),
    "still": skilled(5),
    "broken": "fit raised\n100% of it",
    "fresh": skilled(6),
}


@pytest.fixture
def ready(called: Any, tmp_path: Path) -> Path:
    """A folder with `ref.parquet`, and `results` in which much has moved."""
    planted(tmp_path / "before", BEFORE)
    code, out, err = called("--reference", "ref.parquet", "--results", "before", "--update")
    assert (code, err) == (0, "")
    size = (tmp_path / "ref.parquet").stat().st_size
    assert out == f"ref.parquet: 5 scores of 1 tasks, {size:,} bytes\n"
    planted(tmp_path / "results", NOW)
    return tmp_path


def test_exit_codes(called: Any, ready: Path) -> None:
    code, out, _ = called("--reference", "ref.parquet", "--results", "before")
    assert (code, out) == (0, "ok: 5 comparisons with ref.parquet (5 same)\n")
    assert called("--reference", "ref.parquet")[0] == 1
    planted(ready / "allowed", {"u": skilled(1)})
    assert called("--reference", "ref.parquet", "--results", "allowed")[0] == 1
    assert called("--reference", "ref.parquet", "--results", "allowed", "--allow-missing")[0] == 0
    planted(ready / "dropped", {**BEFORE, "u": weakened(skilled(1), 0.1)})
    assert called("--reference", "ref.parquet", "--results", "dropped")[0] == 1
    assert called("--reference", "ref.parquet", "--results", "dropped", "--drop", "0.11")[0] == 0
    assert called("--reference", "ref.parquet", "--results", "dropped", "--alpha", "1e-300")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--reference", "none.parquet"], ["no reference at 'none.parquet'", "--update"]),
        (["--reference", "ref.parquet", "--format", "xml"], ["unknown format 'xml'"]),
        (["--reference", "ref.parquet", "--format", "jnit"], ["did you mean: junit"]),
        (["--reference", "ref.parquet", "--results", "nowhere"], ["no results at 'nowhere'"]),
        (["--reference", "ref.parquet", "--results", "empty"], ["no results in empty"]),
        (
            ["--reference", "ref.parquet", "--results", "other"],
            ["preset: quick in the reference, smoke in the results"],
        ),
        (["--reference", "ref.parquet", "--alpha", "2"], ["--alpha"]),
        (["--reference", "empty"], ["empty is a folder"]),
        (["--reference", "empty", "--results", "before", "--update"], ["empty is a folder"]),
        (
            ["--reference", "ref.parquet", "--update"],
            ["no reference is made", "broken on seed_id (quick)", "fit raised"],
        ),
        ([], ["--reference"]),
    ],
)
def test_wrong_input_gets_one_message(called: Any, ready: Path, arguments: list[str], said: list[str]) -> None:
    (ready / "empty").mkdir()
    planted(ready / "other", {"u": skilled(1)}, preset="smoke", protocol_digest="q" * 64)
    before = (ready / "ref.parquet").read_bytes()
    code, out, err = called(*arguments)
    assert (code, out) == (2, "")
    assert "Traceback" not in err
    for part in said:
        assert part in err
    assert (ready / "ref.parquet").read_bytes() == before


def test_the_table_tells_what_moved(called: Any, ready: Path) -> None:
    code, out, _ = called("--reference", "ref.parquet")
    assert code == 1
    lines = out.splitlines()
    words = [line.split()[0] for line in lines if line.split()]
    assert [words.count(word) for word in ("regression", "failed", "missing", "improvement", "new", "same")] == [
        2, 1, 1, 1, 1, 0
    ]  # fmt: skip
    (row,) = (line for line in lines if line.split()[:2] == ["regression", "u"])
    change = metrics.credits(skilled(1), TRUTH).mean()
    assert f"{change:.3f} → {change - 0.1:.3f}" in row
    assert "-0.100" in row
    assert "\x1b" not in out
    assert lines[-1] == (
        "FAILED: 4 comparisons with ref.parquet (2 regression, 1 failed, 1 missing, 1 improvement, 1 new, 1 same)"
    )


def test_json_has_everything(called: Any, ready: Path) -> None:
    code, out, _ = called("--reference", "ref.parquet", "--format", "json")
    found = json.loads(out)
    assert (code, found["ok"]) == (1, False)
    assert set(found) == {"ok", "counts", "reference", "alpha", "drop", "allow_missing", "findings"}
    assert found["counts"] == {"regression": 2, "failed": 1, "missing": 1, "improvement": 1, "new": 1, "same": 1}
    by_name = {finding["place"]["attributor"]: finding for finding in found["findings"]}
    assert set(by_name["u"]) == {"verdict", "place", "change", "error"}
    assert set(by_name["u"]["place"]) == {"task", "preset", "protocol_digest", "target", "split", "attributor"}
    assert set(by_name["u"]["change"]) == set(regress.Change.model_fields)
    assert by_name["broken"]["error"] == NOW["broken"]
    assert by_name[HOSTILE]["verdict"] == "regression"


def test_markdown_is_a_table(called: Any, ready: Path) -> None:
    code, out, _ = called("--reference", "ref.parquet", "--format", "md")
    assert code == 1
    tokens = MarkdownIt("commonmark").enable("table").parse(out)
    assert [token.type for token in tokens if token.type == "html_block"] == []
    cells = [token.content for before, token in itertools.pairwise(tokens) if before.type in ("td_open", "th_open")]
    columns = len(regress_formats.sheet(Report(
        reference="", alpha=0.01, drop=0.02, allow_missing=False, findings=()
    )).columns)  # fmt: skip
    assert len(cells) == columns * 7  # a header, and six that moved
    assert [cells[i] for i in range(columns, len(cells), columns)] == [
        "regression", "regression", "failed", "missing", "improvement", "new"
    ]  # fmt: skip
    called("--reference", "ref.parquet", "--results", "before", "--format", "md")
    same = called("--reference", "ref.parquet", "--results", "before", "--format", "md")
    assert same[1] == "**ok: 5 comparisons with ref.parquet (5 same)**\n"


def test_junit_is_read_by_a_parser(called: Any, ready: Path) -> None:
    code, out, _ = called("--reference", "ref.parquet", "--format", "junit")
    assert code == 1
    root = ElementTree.fromstring(out.encode())
    (suite,) = root
    assert (root.tag, suite.tag) == ("testsuites", "testsuite")
    totals = {"tests": "7", "failures": "2", "errors": "2", "skipped": "1"}
    assert {name: suite.attrib[name] for name in totals} == totals
    cases = {case.attrib["name"]: case for case in suite}
    assert cases["u"].attrib["classname"] == "seed_id.quick.level.unseen_prompt"
    assert {name: [child.tag for child in case] for name, case in cases.items() if "x|y" not in name} == {
        "u": ["failure"], "broken": ["error"], "gone": ["error"], "good": ["system-out"], "fresh": ["skipped"],
        "still": ["system-out"],
    }  # fmt: skip
    failure = cases["u"].find("failure")
    assert failure is not None
    assert failure.attrib["type"] == "regression"
    assert failure.text == failure.attrib["message"]
    assert "200 of 2,000 texts judged otherwise" in (failure.text or "")
    (hostile,) = (name for name in cases if "x|y" in name)
    assert hostile.startswith("x|y <b> ::error::100%, \\x1b[31m\\r")
    allowed = called("--reference", "ref.parquet", "--allow-missing", "--format", "junit")[1]
    assert ElementTree.fromstring(allowed.encode())[0].attrib["skipped"] == "2"


def test_github_gets_commands_that_it_can_read(called: Any, ready: Path) -> None:
    code, out, _ = called("--reference", "ref.parquet", "--format", "github")
    assert code == 1
    *commands, last = out.splitlines()
    assert last.startswith("FAILED: 4 comparisons")
    levels = [command.split(" ")[0] for command in commands]
    assert levels == ["::error"] * 4 + ["::notice"] * 2
    for command in commands:
        head, title, message = command.split("::", 2)[0:1] + command.split("::", 2)[1:]
        assert head == ""
        assert title.split(" title=", 1)[1].count(",") == title.split(" title=", 1)[1].count(":") == 0
        assert message.isprintable()
    (broken,) = (command for command in commands if "broken" in command)
    assert broken.endswith("failed: fit raised%0A100%25 of it")
    assert broken.startswith("::error title=failed%3A broken::broken on seed_id (quick), level, unseen_prompt ")
    (hostile,) = (command for command in commands if "x|y" in command)
    assert hostile.startswith("::error title=regression%3A x|y <b> %3A%3Aerror%3A%3A100%25%2C \\x1b[31m\\r%0A&::")
    _, allowed, _ = called("--reference", "ref.parquet", "--format", "github", "--allow-missing")
    assert any(line.startswith("::warning title=missing%3A gone::") for line in allowed.splitlines())


def test_a_real_run_against_itself_and_weakened(called: Any, seed_run: Any, tmp_path: Path) -> None:
    _, folder = seed_run
    reference = ("--reference", tmp_path / "ref.parquet")
    assert called(*reference, "--results", folder, "--update")[0] == 0
    code, out, _ = called(*reference, "--results", folder, "--format", "json")
    assert (code, json.loads(out)["counts"]) == (0, {"same": 5})
    changed = tmp_path / "changed"
    shutil.copytree(folder, changed)
    table = pq.read_table(changed / "predictions.parquet")
    rows = table.to_pylist()
    for row in rows:
        if row["attributor"] == "ceiling":
            row["proba"] = row["proba"][1:] + row["proba"][:1]  # every class gets its neighbour's
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), changed / "predictions.parquet")
    code, out, _ = called(*reference, "--results", changed, "--format", "json")
    findings = json.loads(out)["findings"]
    assert code == 1
    assert [finding["place"]["attributor"] for finding in findings if finding["verdict"] == "regression"] == ["ceiling"]


def test_the_command_loads_no_machine_learning(ready: Path) -> None:
    code = (
        "import sys; sys.argv = ['natfp-bench', 'regress', '--reference', 'ref.parquet', '--results', 'before']\n"
        "from natfp_bench.cli.main import main\n"
        "try: main()\nexcept SystemExit as end: assert not end.code, end.code\n"
        "print('loaded:', *({'torch', 'transformers', 'datasets', 'sklearn', 'evaluate'} & set(sys.modules)))"
    )
    source = str(Path(cli.__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ready,
        env={**os.environ, "PYTHONPATH": source},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "loaded:"


def test_a_place_names_itself() -> None:
    task = Place(task="seed_id", preset="quick", protocol_digest="p")
    assert str(task) == "seed_id (quick)"
    assert str(task.model_copy(update={"attributor": "u", "target": "level", "split": "s"})) == (
        "u on seed_id (quick), level, s"
    )
