"""Claims about factors: planted levels and planted accidents of runs, with the procedure that real results go through.

Each simulated experiment has three levels and R runs of each. A run has words of its own: those of its level, and an
accident that belongs to it alone. Folds hold out one run of each level, as in a task. What is compared with the truth
is what a result reports: the interval over held-out runs, the permutation test, and the detectable effect.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np
from scipy.sparse import csr_array
from scipy.stats import binom
from validity_sources import Amount, Row

from natfp_bench.attributors import registry
from natfp_bench.attributors.factor_test import Counted, permuted
from natfp_bench.attributors.study import Experiment, Texts
from natfp_bench.plan.split import SEEN_REPLICATE, UNSEEN_REPLICATE, folds
from natfp_bench.statistics import intervals, paired, per_text, replication
from natfp_bench.statistics.curves import Permuted
from natfp_bench.statistics.group_test import group_log10_p
from natfp_bench.statistics.intervals import Floats, Interval, Ints

LEVELS = 3
VOCABULARY = 40
TRAIN, TEST, LENGTH = 500, 250, 15
"""Texts of each run to learn from and to test with, and their words."""

EFFECTS = {
    "no effect": (0.0, 0.3),
    "moderate effect": (0.15, 0.3),
    "large effect": (0.5, 0.3),
    "moderate effect, large accidents": (0.5, 1.0),
}
"""Spread of the log-frequencies of words between levels, and between runs of one level."""

REPLICATES = (3, 4, 5, 10)

PERMUTATIONS = 1_999


def band(experiments: int) -> tuple[float, float]:
    """Lowest and highest coverage that is not significantly (at 99.9%) outside 0.93 to 0.97."""
    low, high = binom.ppf(0.0005, experiments, 0.93), binom.ppf(0.9995, experiments, 0.97)
    return float(low) / experiments, float(high) / experiments


def holds(interval: Interval, value: float) -> bool:
    """Whether an interval contains a value."""
    return interval.low is not None and interval.high is not None and interval.low <= value <= interval.high


def coverage(what: str, values: Floats, truth: float, *, wide: bool = False) -> Iterator[Row]:
    """Rows on the intervals of folds (experiments, R): the one that is reported, and the one that ignores shared fits.

    wide: whether the reported interval may be too wide, and the other one right.
    """
    low, high = band(len(values))
    seen = float(np.mean([holds(intervals.fold_interval(row), truth) for row in values]))
    top = 1.0 if wide else high
    yield Row(what, "0.95", f"{seen:.4f}", f"{low:.4f} to {top:.4f}", low <= seen <= top)
    if not wide:
        plain = float(np.mean([holds(intervals.t_interval(row), truth) for row in values]))
        name = f"{what}, Student's t as if folds were independent (must fail)"
        yield Row(name, "too narrow", f"{plain:.4f}", "below 0.93", plain < 0.93)


def size(what: str, p: Floats) -> Row:
    """Compare the share of p-values of at most 0.05 with what chance allows."""
    count, most = int((p <= 0.05).sum()), int(binom.ppf(0.999, len(p), 0.05))
    valid = bool(((p > 0) & (p <= 1)).all())  # NaN is not a p-value
    return Row(
        what, f"{0.05 * len(p):.0f} or fewer", f"{count} of {len(p)}", f"at most {most}", valid and count <= most
    )


def design(replicates: int) -> tuple[Ints, Ints]:
    """Level and replicate of each run."""
    return np.tile(np.arange(LEVELS), replicates), np.repeat(np.arange(replicates), LEVELS)


def words(experiment: int, replicates: int, level: float, accident: float) -> Floats:
    """Frequencies of words of each run, (runs, VOCABULARY); levels are the same in all experiments."""
    fixed, own = np.random.default_rng(7), np.random.default_rng([experiment, replicates])
    logits = fixed.normal(size=VOCABULARY) + level * fixed.normal(size=(LEVELS, VOCABULARY))[design(replicates)[0]]
    frequencies = np.exp(logits + accident * own.normal(size=logits.shape))
    return np.asarray(frequencies / frequencies.sum(axis=1, keepdims=True))


def planted(experiment: int, replicates: int, level: float, accident: float) -> Counted:
    """Draw the texts of one experiment, as counts of words: what the test of a factor makes of real texts."""
    drawn, known = np.random.default_rng([experiment, replicates, 1]), words(experiment, replicates, level, accident)
    learnt = np.stack([drawn.multinomial(TRAIN * LENGTH, row) for row in known]).astype(np.float64)
    asked = np.concatenate([drawn.multinomial(LENGTH, row, size=TEST) for row in known]).astype(np.float64)
    return Counted(csr_array(learnt), csr_array(asked), np.repeat(np.arange(len(known)), TEST))


def accuracies(counted: Counted, replicates: int, split: str = UNSEEN_REPLICATE) -> list[float]:
    """Accuracy of each fold."""
    levels, blocks = design(replicates)
    return [float(counted.accuracies(fold, levels[None])[0]) for fold in folds(split, blocks)]


def fold_coverage(effect: str, replicates: int, amount: Amount) -> Iterator[Row]:
    """Coverage of the interval over held-out runs, and of the replicate gap."""
    unseen, seen = [], []
    for experiment in range(amount.folds):
        counted = planted(experiment, replicates, *EFFECTS[effect])
        unseen.append(accuracies(counted, replicates))
        if replicates == 5:
            seen.append(accuracies(counted, replicates, SEEN_REPLICATE))
    values = np.array(unseen)
    # No effect is known to leave chance; other truths are the mean over all experiments.
    truth = float(values.mean()) if EFFECTS[effect][0] else 1 / LEVELS
    # A large effect leaves little for the fits to share, so the correction is more than is needed.
    yield from coverage(f"{effect}, {replicates} runs per level", values, truth, wide=effect == "large effect")
    if seen:
        gap = np.array(seen) - values
        yield from coverage(f"replicate gap, {effect}, {replicates} runs per level", gap, float(gap.mean()), wide=True)


def reference_coverage(amount: Amount) -> Iterator[Row]:
    """The same with a bundled attributor on whole texts, as in the scores of a result."""
    replicates, names = 5, np.array([f"w{word}" for word in range(VOCABULARY)])
    levels, blocks = design(replicates)
    build, found = partial(registry.build, registry.find("naive_bayes")[0]), []
    for experiment in range(amount.nulls):
        drawn = np.random.default_rng([experiment, 2])
        parts = []
        for n in (60, 40):
            texts = [
                " ".join(text)
                for row in words(experiment, replicates, *EFFECTS["no effect"])
                for text in names[drawn.choice(VOCABULARY, size=(n, LENGTH), p=row)]
            ]
            source = np.repeat(np.arange(len(levels)), n)
            parts.append(Texts(texts, source, np.arange(len(texts))))
        labels = tuple(str(level) for level in levels)
        made = Experiment(build, experiment, labels, blocks, UNSEEN_REPLICATE, *parts)
        (answers,) = made.fit(made.train, made.test)
        found.append([float(per_text.credits(one.proba, one.truth).mean()) for one in answers])
    yield from coverage("no effect, 5 runs per level, bundled `naive_bayes`", np.array(found), 1 / LEVELS, wide=True)


def tested(counted: Counted, replicates: int, seed: int) -> Permuted:
    """Test the factor, as a result does."""
    return permuted(counted, *design(replicates), folds(UNSEEN_REPLICATE, design(replicates)[1]), PERMUTATIONS, seed)


def permutation_size(replicates: int, amount: Amount) -> Iterator[Row]:
    """Size of the permutation test, and of a test that takes texts as independent."""
    p, by_texts = [], []
    for experiment in range(amount.nulls):
        counted = planted(experiment, replicates, *EFFECTS["no effect"])
        p.append(tested(counted, replicates, experiment).test.p)
        hits, n = float(np.sum(accuracies(counted, replicates))) * LEVELS * TEST, replicates * LEVELS * TEST
        by_texts.append(10 ** paired.binomial_log10_p(hits, n, 1 / LEVELS))
    yield size(f"permutation test, {replicates} runs per level", np.array(p))
    count, most = int((np.array(by_texts) < 0.05).sum()), int(binom.ppf(0.999, len(p), 0.05))
    what = f"binomial test with the texts of {replicates} unseen runs per level as units (must fail)"
    yield Row(what, "too many", f"{count} of {len(p)}", f"above {most}", count > most)


def power(replicates: int, corrections: Sequence[int], amount: Amount) -> Iterator[Row]:
    """Power of the permutation test at the effect that it calls detectable, between planted effects.

    corrections: for how many factors p is corrected, a row for each.
    """
    n = amount.nulls // 2
    found = [
        [tested(planted(e, replicates, level, 0.3), replicates, e) for e in range(n)]
        for level in (0.04, 0.08, 0.12, 0.16, 0.24)
    ]
    effect = [np.mean([one.observed for one in made]) - 1 / LEVELS for made in found]
    spread = float(np.mean([one.spread for one in found[0]]))
    permutations = found[-1][0].test.permutations
    for tests in corrections:
        share = [np.mean([one.test.p <= 0.05 / tests for one in made]) for made in found]
        at = replication.detectable_factor(spread, LEVELS, replicates, permutations, tests) or 0.0
        reached = float(np.interp(at, effect, share))
        among = "" if tests == 1 else f", corrected for {tests} factors"
        what = f"power at the detectable effect, {replicates} runs per level{among}"
        seen = f"{reached:.3f} at {at:.3f} above chance"
        within = 0.15 + 2 * (0.16 / n) ** 0.5
        yield Row(what, "0.8", seen, f"±{within:.2f}", abs(reached - 0.8) <= within)


LAYOUTS = {
    "20 equal groups within labels": (10, 20, 10, 20),
    "5 large and 50 small groups within labels": (5, 40, 50, 4),
    "20 groups across labels": None,
}
"""Numbers of groups of each label and their texts."""


def grouped(layout: str, amount: Amount) -> Iterator[Row]:
    """Size of the tests of texts in groups: guesses depend on the group, and labels mean nothing."""
    p, plain = [], []
    for experiment in range(max(amount.nulls, 200)):
        drawn = np.random.default_rng([experiment, 3])
        if sizes := LAYOUTS[layout]:
            group = np.concatenate([np.repeat(np.arange(sizes[0]), sizes[1]), np.repeat(np.arange(sizes[2]), sizes[3])])
            truth = np.repeat([0, 1], [sizes[0] * sizes[1], sizes[2] * sizes[3]])
            group += sizes[0] * truth
            cell = group
        else:
            group, truth = np.repeat(np.arange(20), 20), np.tile(np.repeat([0, 1], 10), 20)
            cell = 2 * group + truth
        # Classifiers lean to one label, and differently from group to group.
        leaning = drawn.beta(1.2, 0.8, size=int(cell.max()) + 1)[cell]
        guess = (drawn.uniform(size=len(group)) >= leaning).astype(np.int64)
        found, _ = group_log10_p(np.eye(2)[guess], truth, group, experiment)
        p.append(1.0 if found is None else 10**found)
        plain.append(10 ** paired.binomial_log10_p(float((guess == truth).sum()), len(truth), 0.5))
    yield size(f"test of grouped texts, {layout}", np.array(p))
    count, most = int((np.array(plain) < 0.05).sum()), int(binom.ppf(0.999, len(plain), 0.05))
    what = f"binomial test of the same, {layout} (must fail)"
    yield Row(what, "too many", f"{count} of {len(plain)}", f"above {most}", count > most)


def unequal_spread(answer: str, amount: Amount) -> Iterator[Row]:
    """Errors of "are the levels equally good?" at the margin, if the runs of one level vary ten times as much."""
    replicates, wrong = 5, 0
    levels, blocks = design(replicates)
    for experiment in range(amount.experiments):
        drawn = np.random.default_rng([experiment, 5])
        worse = 0.01 * (levels == 2)
        accident = drawn.normal(size=len(levels)) * np.where(levels == 2, 0.02, 0.002)
        bits = np.exp(7 + np.log1p(worse) + accident)[:, None] * np.array([[0.4, 0.6]])
        found = replication.equivalence(bits, [str(level) for level in levels], blocks)
        wrong += found is not None and found.answer == answer
    most = int(binom.ppf(0.999, amount.experiments, 0.05))
    what = f"'{answer}' at the margin, one level varies ten times as much, {replicates} runs per level"
    seen = f"{wrong} of {amount.experiments}"
    yield Row(what, f"{0.05 * amount.experiments:.0f} or fewer", seen, f"at most {most}", wrong <= most)


PARTS: list[Callable[[Amount], Iterator[Row]]] = [
    *(partial(fold_coverage, effect, replicates) for replicates in REPLICATES for effect in EFFECTS),
    reference_coverage,
]
SIZES: list[Callable[[Amount], Iterator[Row]]] = [
    *(partial(permutation_size, replicates) for replicates in (3, 5)),
    partial(power, 3, (1,)),
    partial(power, 5, (1, 8)),
    *(partial(grouped, layout) for layout in LAYOUTS),
    *(partial(unequal_spread, answer) for answer in ("equally good", "not equally good")),
]
