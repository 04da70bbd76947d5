"""Regression on metrics: a weakened attributor is caught, luck and rounding are not, other texts are refused."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats
from planted_answers import (
    TEXTS,
    TRUTH,
    Comparing,
    change_of,
    current,
    of,
    planted,
    skilled,
    weakened,
)

from natfp_bench.base.errors import UserError
from natfp_bench.report import regression_formats as regress_formats
from natfp_bench.results import regression
from natfp_bench.results.regression import flip_p
from natfp_bench.statistics import intervals, per_text


@pytest.fixture
def comparing(tmp_path: Path) -> Comparing:
    return Comparing(tmp_path)


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


def test_odd_shares_of_many_texts_are_rounded_and_stay_right() -> None:
    rng = np.random.default_rng(6)
    prompts = np.arange(20_000) // 4
    before, now = rng.choice([0, 1 / 11, 1 / 7, 0.5, 1], size=(2, 20_000))
    assert (
        np.abs(intervals.prompt_sums((now - before)[:, None], prompts)).sum() * regression.SHARES > regression.LATTICE
    )
    test, worse, better = regression._test(before, now, prompts)
    assert test == "sign flips"
    assert worse + better == pytest.approx(1, abs=0.01)
    deviation = math.sqrt((intervals.prompt_sums((now - before)[:, None], prompts) ** 2).sum())
    assert better == pytest.approx(scipy.stats.norm.sf((now - before).sum() / deviation), abs=5e-3)


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
    report = regression.compare({**before.answers, **same}, found, name="ref")
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
        wrong = np.flatnonzero(per_text.credits(before[name], TRUTH) == 0)[: round(share * TEXTS / 3)]
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
        difference = per_text.bits(now[name], TRUTH) - per_text.bits(before[name], TRUTH)
        expected, found = intervals.mean_interval(difference, prompts, 0), change_of(report, name).bits
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
    lost = regression.compare(more.answers, less, name="ref")
    assert next((str(finding.place), finding.verdict) for finding in lost.findings) == ("lr_id (quick)", "missing")
    assert lost.counts == {"missing": 1, "same": 2}
    assert not lost.ok
    assert regression.compare(more.answers, less, name="ref", allow_missing=True).ok
    gained = regression.compare(less.answers, more, name="ref")
    assert (gained.counts, gained.ok) == ({"new": 1, "same": 2}, True)
    other = current(planted(tmp_path / "other", given, task__name="lr_id", protocol_digest="q" * 64))
    with pytest.raises(UserError, match="no score in common"):
        regression.compare(less.answers, other, name="ref", allow_missing=True)


def test_the_newest_score_counts_and_the_order_of_rows_does_not(tmp_path: Path) -> None:
    good, now = skilled(1), tmp_path / "now"
    before = current(planted(tmp_path / "before", {"u": good})).answers
    planted(now, {"u": weakened(good, 0.2)}, run="old", started="2025-01-01T00:00:00+00:00")
    planted(now, {"u": good}, run="new", order=np.random.default_rng(0).permutation(TEXTS), code="1")
    planted(now, {"v": good}, run="newest", started="2027-01-01T00:00:00+00:00")
    report = regression.compare(before, current(now), name="ref")
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
        regression.compare(before, now, name="my.parquet", allow_missing=True)
    assert caught.value.exit_code == 2
    for part in ["my.parquet and the results", "seed_id (quick):", *said, "natfp-bench regress --reference my.parquet"]:
        assert part in str(caught.value)
