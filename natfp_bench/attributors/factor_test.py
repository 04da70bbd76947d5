"""The permutation test of a factor: can levels be named on replicates that no fit has seen, only with the right labels?

Labels of whole variants are permuted within replicates, and each labelling is fitted and tested anew, replicate by
replicate. There may be thousands of labellings, so the fits are of a classifier whose fit is a sum: multinomial naive
Bayes. The words of each variant are counted once; a class of a labelling is the sum of its variants' counts, and most
classes are part of many labellings. So every refit is exact, and all of them together take seconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from natfp_bench.base.progress import Progress, no_progress
from natfp_bench.plan.split import UNSEEN_REPLICATE, Fold
from natfp_bench.statistics import crossed, replication
from natfp_bench.statistics.curves import Permuted, Side
from natfp_bench.statistics.intervals import Floats, Ints

from .study import Experiment, Texts, regrouped

BUCKETS_LOG2 = 18
WORD = r"(?u)\w+|[^\w\s]"
"""Words and marks; the features are these and pairs of them, hashed to buckets."""

PRIOR = 0.1
"""Weight of the prior, which is what all known variants wrote, as a share of a class's words."""

AT_ONCE, LABELLINGS_AT_ONCE = 256, 32
"""Classes whose weights are in memory together, and labellings whose scores are."""


@dataclass(frozen=True)
class Counted:
    """Counts of words: by variant in its training texts, and by test text; source: the variant of each test text.

    learnt: (variants, buckets); asked: (texts, buckets); both sparse.
    """

    learnt: Any
    asked: Any
    source: Ints

    @classmethod
    def of(cls, train: Texts, test: Texts, variants: int) -> Self:
        """Count the words of all texts."""
        from scipy.sparse import csr_array

        n = len(train.source)
        members = csr_array((np.ones(n), (train.source, np.arange(n))), shape=(variants, n))
        return cls(members @ _features(train), _features(test), test.source)

    def accuracies(self, fold: Fold, labellings: Ints) -> Floats:
        """Accuracy on the test texts of a fold, refitted for each labelling (labellings, variants): (labellings,)."""
        rows = np.flatnonzero(fold.tested[self.source])
        learnt, source, k = self.learnt[fold.known], self.source[rows], int(labellings.max()) + 1
        met = np.flatnonzero(learnt.sum(axis=0))
        known, asked = learnt[:, met].toarray(), self.asked[rows][:, met]
        # A class is a set of variants: one row of members; `of_class` (labellings, k) is the row of each class.
        members = (labellings[:, None, fold.known] == np.arange(k)[:, None]).reshape(-1, len(known))
        distinct, of_class = np.unique(members, axis=0, return_inverse=True)
        scores = np.concatenate(
            [_log_odds(distinct[at : at + AT_ONCE], known) @ asked.T for at in range(0, len(distinct), AT_ONCE)]
        )
        truth, found = labellings[:, source], []
        for at in range(0, len(labellings), LABELLINGS_AT_ONCE):
            part = slice(at, at + LABELLINGS_AT_ONCE)
            by_class = scores[of_class.reshape(-1, k)[part]]
            guessed = by_class == by_class.max(axis=1, keepdims=True)
            right = np.take_along_axis(guessed, truth[part, None], axis=1)[:, 0]
            found.append((right / guessed.sum(axis=1)).mean(axis=1))
        return np.concatenate(found)


def permutation_test(experiment: Experiment, limit: int, texts: int, progress: Progress = no_progress) -> Permuted:
    """Test whether the accuracy on held-out replicates needs the right labels.

    limit: most permutations; texts: most training texts, and most test texts, of each variant.
    """
    levels = np.unique(np.array(experiment.labels), return_inverse=True)[1].astype(np.int64)
    train, test = experiment.train.first(texts), experiment.test.first(texts)
    counted = Counted.of(train, test, len(levels))
    return permuted(counted, levels, experiment.replicates, experiment.folds, limit, experiment.seed, progress)


def crossed_side(
    experiment: Experiment, seed: str, cells: Mapping[str, Sequence[int]], limit: int, texts: int, progress: Progress
) -> Side:
    """Guess one seed of a crossing on models whose other seeds no fit has met, and test it as a factor.

    cells: by seed, its value in each variant. limit, texts: as for `permutation_test`.
    """
    names = [*cells]
    block = crossed.held_fixed(np.array([*cells.values()], dtype=np.int64).T, names.index(seed))
    labels = [f"{value:03}" for value in np.unique(np.array(cells[seed]), return_inverse=True)[1].tolist()]
    part = regrouped(experiment, labels, block, UNSEEN_REPLICATE, block >= 0)
    (answers,) = part.fit(part.train, part.test)
    point = part.point(len(set(labels)), answers)
    return Side(
        seed=seed,
        held_out=tuple(name for name in names if name != seed),
        values=point.at,
        accuracy=point.accuracy.model_copy(update={"units": crossed.UNITS}),
        by_value=point.by_fold,
        permuted=permutation_test(part, limit, texts, progress),
    )


def permuted(
    counted: Counted,
    levels: Ints,
    replicates: Ints,
    folds: Sequence[Fold],
    limit: int,
    seed: int,
    progress: Progress = no_progress,
) -> Permuted:
    """Do the test on counted words; levels, replicates: of each variant (V,)."""
    relabelled, total = replication.relabelings(levels, replicates, limit, seed)
    labellings = np.vstack([levels, relabelled])
    accuracy = np.empty((len(folds), len(labellings)))
    for number, fold in enumerate(folds):
        accuracy[number] = counted.accuracies(fold, labellings)
        progress(number + 1, len(accuracy), "replicates")
    observed, *others = accuracy.mean(axis=0).tolist()
    return Permuted(
        test=replication.permutation_test(observed, np.array(others), total),
        observed=observed,
        spread=float(np.std(others)) if others else 0.0,
    )


def _features(texts: Texts) -> Any:
    """Count the words, and pairs of words, of each text: (texts, buckets) sparse."""
    from sklearn.feature_extraction.text import HashingVectorizer

    vectoriser = HashingVectorizer(
        lowercase=False,
        token_pattern=WORD,
        ngram_range=(1, 2),
        n_features=1 << BUCKETS_LOG2,
        alternate_sign=False,
        norm=None,
    )
    return vectoriser.transform(texts.texts)


def _log_odds(members: NDArray[np.bool_], counts: Floats) -> Floats:
    """Log-ratio of each class's frequencies, smoothed, to those of all variants: (classes, buckets)."""
    pooled = counts.sum(axis=0) / max(counts.sum(), 1.0)
    # Counts are whole numbers, so their sums are exact in any order.
    found = members.astype(np.float64) @ counts
    frequency = found / np.maximum(found.sum(axis=1, keepdims=True), 1.0)
    return np.asarray(np.log((frequency / pooled + PRIOR) / (1 + PRIOR)))
