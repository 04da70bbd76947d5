"""Where the fingerprint is, by the texts alone: the words that separate the classes, and their n-grams.

Shapes, for n texts and k classes: `texts` n lists of words, as `words.words` reads them; `truth` (n,) int, class
indices. scipy is imported inside functions, since it is slow to import.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from natfp_bench.base import streams
from natfp_bench.base.records import Record

from .intervals import Floats, Ints

PRIOR_SHARE = 0.01
"""Weight of the prior of log-odds, as a share of the training words: 100 occurrences of a word add one."""

FALSE_DISCOVERIES = 0.05
"""Expected share of false words among the confirmed ones."""


class TellingWord(Record):
    """A word that one class uses more (log_odds > 0, nats, from training texts) or less than the other classes.

    q: p-value from the test texts, adjusted for all chosen words; confirmed: q is at most 5 %. agrees: in every
    replicate on its own, the test texts differ in the same direction as the training texts; None without replicates.
    """

    label: str
    word: str
    log_odds: float
    z_train: float
    z_test: float
    q: float
    confirmed: bool
    agrees: bool | None


class NgramDivergence(Record):
    """Jensen-Shannon divergence of the classes' n-grams, in bits; bias: its mean with shuffled labels."""

    order: int
    value: float
    bias: float
    excess: float
    p: float
    permutations: int


def telling_words(
    texts: Sequence[Sequence[str]],
    truth: Ints,
    test: NDArray[np.bool_],
    classes: Sequence[str],
    replicates: Ints | None = None,
    *,
    per_class: int = 50,
) -> list[TellingWord]:
    """Words that separate each class from the rest: chosen on training texts, confirmed on test texts.

    test: (n,) mask of the test texts; classes: names; replicates: (n,) int, replicate of each text, if classes are
    levels.

    The `per_class` words with the largest |z_train| are chosen: the log-odds of a class against all others under a
    Dirichlet prior in proportion to the training texts (Monroe, Colaresi and Quinn 2008, eqs. 15-22), where the Poisson
    variance of the paper is multiplied by the word's design effect. A word is confirmed if its rate in the test texts
    differs in the same direction: one-sided, against relabelled texts, at a false discovery rate of 5 % over the words
    of all classes (Benjamini and Hochberg 1995). The result is sorted by class and falling |z_train|; with two classes,
    each has the words of the other with reversed signs.

    A confirmed word differs between the texts of these models. To belong to the level rather than to single models, it
    must also agree in two replicates or more; R replicates agree by chance once in 2^(R-1).
    Raises ValueError if the training or the test texts of a class have no words.
    """
    from scipy.stats import false_discovery_control, pearson3

    truth, test = np.asarray(truth), np.asarray(test, dtype=np.bool_)
    text, codes, vocabulary = _encoded(texts)
    sizes = np.bincount(text, minlength=len(texts)).astype(np.float64)
    for name, part in (("training", ~test), ("test", test)):
        of_class = np.bincount(truth[part], sizes[part], minlength=len(classes))
        if len(empty := np.flatnonzero(of_class == 0)):
            raise ValueError(f"the {name} texts of class {classes[empty[0]]!r} have no words")
    counts = _count_matrix(text, codes, len(texts), len(vocabulary))
    # Words that no training text has cannot be chosen, and a log-odds needs at least two words.
    known = np.flatnonzero(counts[~test].sum(axis=0))
    if len(known) < 2:
        return []
    train, held_out = counts[~test][:, known], counts[test][:, known]
    effect = _design_effect(train, sizes[~test])

    found: list[dict[str, Any]] = []
    leans, skews = [np.empty(0)], [np.empty(0)]
    for c, label in enumerate(classes):
        own = truth == c
        log_odds, deviation = _log_odds(train, own[~test])
        z_train = log_odds / (deviation * np.sqrt(effect))
        # The sort is stable: among equal words, the first in the alphabet comes first.
        chosen = np.argsort(-np.abs(z_train), kind="stable")[:per_class]
        chosen = chosen[z_train[chosen] != 0]
        side = np.sign(z_train[chosen])
        z_test, skewness = _permutation_z(held_out[:, chosen], sizes[test], own[test])
        leans.append(side * z_test)
        skews.append(side * skewness)
        agrees = _agrees(held_out[:, chosen], sizes[test], own[test], side, replicates, test)
        found += [
            {
                "label": label,
                "word": vocabulary[known[word]],
                "log_odds": float(log_odds[word]),
                "z_train": float(z_train[word]),
                "z_test": float(z),
                "agrees": agree,
            }
            for word, z, agree in zip(chosen, z_test, agrees, strict=True)
        ]
    # The z of a rare word of one class among many is skewed, and the normal tail is far too thin for it. So a Pearson
    # type III is fitted to three moments (Mielke and Berry 2007). Negative skewness would make the tail thinner than
    # the normal one, and is not used.
    p = pearson3.sf(np.concatenate(leans), np.maximum(np.concatenate(skews), 0.0))
    q = false_discovery_control(p).tolist()
    return [
        TellingWord(**word, q=value, confirmed=value <= FALSE_DISCOVERIES) for word, value in zip(found, q, strict=True)
    ]


def jensen_shannon(
    texts: Sequence[Sequence[str]], truth: Ints, order: int, *, permutations: int = 20, seed: int = 0
) -> NgramDivergence:
    """Jensen-Shannon divergence of the classes' distributions of word n-grams, in bits; classes have equal weight.

    It is between 0 and log2 k: the information about the class that one n-gram gives (Lin 1991). Two finite samples of
    one distribution diverge too, and more so the rarer their n-grams are. `bias` is the mean over labels permuted among
    texts, and p the share of permutations that reach the value, including the observed labels (Phipson and Smyth 2010).
    If most n-grams occur once, both come near log2 k, and the excess is too small: compare only excesses of the same
    order and the same number of texts. N-grams do not cross texts. Raises ValueError if a class has none, or for one
    class.
    """
    truth = np.asarray(truth)
    text, codes, vocabulary = _encoded(texts)
    text, codes = _ngrams(text, codes, len(vocabulary), order)
    k, width = int(truth.max(initial=0)) + 1, int(codes.max(initial=0)) + 1
    if k < 2 or len(np.unique(truth[text])) < k:
        raise ValueError(f"a divergence needs two classes, each with word {order}-grams")

    def divergence(labels: Ints) -> float:
        by_class = np.bincount(labels[text] * width + codes, minlength=k * width).reshape(k, width)
        shares = by_class / np.maximum(by_class.sum(axis=1, keepdims=True), 1)
        return _entropy(shares.mean(axis=0)) - math.fsum(map(_entropy, shares)) / k

    value = divergence(truth)
    shuffled = [
        divergence(truth[streams.permutation(len(truth), "jensen shannon", seed, i)]) for i in range(permutations)
    ]
    bias = math.fsum(shuffled) / permutations
    # Sums that are equal in theory differ by rounding; they count as reached.
    reached = sum(other >= value - 1e-12 for other in shuffled)
    return NgramDivergence(
        order=order,
        value=value,
        bias=bias,
        excess=value - bias,
        p=(1 + reached) / (1 + permutations),
        permutations=permutations,
    )


def _encoded(texts: Sequence[Sequence[str]]) -> tuple[Ints, Ints, list[str]]:
    """All words in a row: the text of each, its index in the vocabulary, and the sorted vocabulary."""
    vocabulary = sorted(set(chain.from_iterable(texts)))
    place = {word: i for i, word in enumerate(vocabulary)}
    text = np.repeat(np.arange(len(texts)), [len(words) for words in texts])
    codes = np.fromiter((place[word] for word in chain.from_iterable(texts)), dtype=np.int64, count=len(text))
    return text, codes, vocabulary


def _ngrams(text: Ints, codes: Ints, n_words: int, order: int) -> tuple[Ints, Ints]:
    """N-grams of `order` words within a text: the text of each, and its number among the different ones."""
    starts = np.flatnonzero(text[order - 1 :] == text[: max(0, len(text) - order + 1)])
    run = codes[starts]
    for i in range(1, order):
        # N-grams are renumbered at each step, so the product stays far below 2^63.
        run = np.unique(run * n_words + codes[starts + i], return_inverse=True)[1]
    return text[starts], run


def _count_matrix(text: Ints, codes: Ints, n_texts: int, n_words: int) -> Any:
    """How often each text holds each word: (texts, words) sparse float64."""
    from scipy.sparse import csr_array

    return csr_array((np.ones(len(text)), (text, codes)), shape=(n_texts, n_words))


def _log_odds(counts: Any, own: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Log-odds of each word in own texts against the rest, nats, and its standard deviation under Poisson: (words,).

    Monroe, Colaresi and Quinn (2008): eq. 16 and the root of eq. 20, with a prior in proportion to the pooled counts.
    """
    of_own, of_all = np.asarray(own @ counts), np.asarray(counts.sum(axis=0))
    prior = PRIOR_SHARE * of_all
    a, b = of_own + prior, of_all - of_own + prior
    log_odds = np.log(a / (a.sum() - a)) - np.log(b / (b.sum() - b))
    return log_odds, np.sqrt(1.0 / a + 1.0 / b)


# Words come in bursts: a text that has a word once often has it again. So counts vary more than Poisson's variance
# allows, and a z with that variance finds false words. Texts, not words, are drawn independently, so the variance is
# computed over texts, from the residuals of the ratio estimator (Cochran 1977, chapter 6): e = count - rate * size. The
# rate is that of all classes pooled. Then the moments of a class's sum of e over all relabellings of the texts are
# known exactly, even for words so rare that the texts of the class alone would not show their spread. Texts of one
# prompt share its words, but every class has the same prompts: they add the same to all classes, and z is rather too
# small.


def _residual_moments(counts: Any, sizes: Floats) -> tuple[Floats, Floats, Floats]:
    """Pooled rate of each word, and the sums over texts of its squared and cubed residuals: (words,) each."""
    rate = np.asarray(counts.sum(axis=0)) / max(sizes.sum(), 1.0)
    square, cube = counts.power(2), counts.power(3)
    second = square.sum(axis=0) - 2 * rate * (sizes @ counts) + rate**2 * np.sum(sizes**2)
    third = (
        cube.sum(axis=0) - 3 * rate * (sizes @ square) + 3 * rate**2 * (sizes**2 @ counts) - rate**3 * np.sum(sizes**3)
    )
    return rate, second, third


def _design_effect(counts: Any, sizes: Floats) -> Floats:
    """Variance of each word's count over texts, in units of its binomial variance over words: (words,)."""
    rate, second, _ = _residual_moments(counts, sizes)
    # A word with the same share in every text has no variance and no lean; the bound only avoids 0/0.
    return np.asarray(np.maximum(second / (rate * (1.0 - rate) * sizes.sum()), 1e-6))


def _lean(counts: Any, sizes: Floats, own: NDArray[np.bool_]) -> Floats:
    """Count of each word in own texts minus the count expected from the pooled rate: (words,)."""
    rate = np.asarray(counts.sum(axis=0)) / max(sizes.sum(), 1.0)
    return np.asarray(own @ counts - rate * sizes[own].sum())


def _permutation_z(counts: Any, sizes: Floats, own: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Lean of own texts over its standard deviation under permuted labels, and its skewness: (words,) each.

    If n of N texts are drawn without replacement, a sum of residuals has variance n (N-n) / (N (N-1)) sum e^2 and third
    moment n (N-n) (N-2n) / (N (N-1) (N-2)) sum e^3 (the finite-population moments of Cochran 1977, chapter 2).
    """
    n_all, n_own = len(sizes), int(own.sum())
    _, second, third = _residual_moments(counts, sizes)
    share = n_own * (n_all - n_own) / n_all
    variance = share * second / max(n_all - 1, 1)
    moment = share * (n_all - 2 * n_own) * third / max((n_all - 1) * (n_all - 2), 1)
    # Residuals that are zero in theory leave rounding errors.
    varies = variance > 1e-9
    deviation = np.sqrt(np.where(varies, variance, 1.0))
    z = np.where(varies, _lean(counts, sizes, own) / deviation, 0.0)
    return z, np.where(varies, moment / deviation**3, 0.0)


def _agrees(
    counts: Any,
    sizes: Floats,
    own: NDArray[np.bool_],
    side: Floats,
    replicates: Ints | None,
    test: NDArray[np.bool_],
) -> list[bool] | list[None]:
    """Does each word lean to its side in the test texts of every replicate? None if there are not two replicates."""
    of_text = np.zeros(len(own)) if replicates is None else np.asarray(replicates)[test]
    if len(names := np.unique(of_text)) < 2:
        return [None] * len(side)
    parts = [of_text == name for name in names]
    leans = np.stack([_lean(counts[part], sizes[part], own[part]) for part in parts])
    return [bool(same) for same in (np.sign(leans) == side).all(axis=0)]


def _entropy(shares: Floats) -> float:
    """Entropy of a distribution, in bits."""
    some = shares[shares > 0]
    return -float(np.sum(some * np.log2(some)))
