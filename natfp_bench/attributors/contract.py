"""The rules for every attributor: each is a plain function that gets a subject and returns what it saw."""

from __future__ import annotations

import contextlib
import itertools
import random
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from natfp_bench.base import streams
from natfp_bench.base.errors import AttributorError
from natfp_bench.base.limits import Limits
from natfp_bench.statistics import paired, per_text

from .attribute import Attribution, Attributor, attribute, check_proba, peak_mb, takes_groups
from .planted import HABITS, ODD, planted
from .registry import last_line

TRAIN, TEST, FEW = 360, 300, 60
"""Numbers of texts: to train on, to test on, and for checks in which accuracy does not matter (see `taught`)."""

SEED = 7
"""Seed of attributors whose answers are compared. Any would do; at this one, most learn something from few texts."""

LOG10_P = -4.0
"""log10 of the p-value at which a check fails: it fails one in 10,000 sound attributors by chance."""

TOLERANCE = 1e-5
"""Largest difference between the probabilities of one text in different batches."""

Verdict = tuple[bool, str]
"""Whether the check is passed, and what was seen."""


@dataclass(frozen=True)
class Subject:
    """The attributor to check: how to build it, whether it is declared a floor, and the limits of its card."""

    build: Callable[[int], Attributor]
    floor: bool = False
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True)
class ContractCheck:
    """A check, what an author can do if it fails, and whether the later checks need it."""

    call: Callable[[Subject], Verdict]
    mend: str
    needed: bool = False

    @property
    def name(self) -> str:
        """The function's name."""
        return self.call.__name__


def build(subject: Subject) -> Verdict:
    """Each build returns a new object, which does not answer before it is fitted."""
    first, second = subject.build(0), subject.build(0)
    if first is second:
        return False, "build returned the same object twice"
    try:
        first.predict_proba(["a text"])
    except Exception as error:
        return True, f"a {type(first).__name__}; unfitted it raises {type(error).__name__}"
    return False, f"an unfitted {type(first).__name__} answers"


def run(subject: Subject) -> Verdict:
    """One fit with its predictions stays within the time and memory of the card."""
    (texts, labels), (test, _) = planted(FEW, "train"), planted(TEST, "test")
    attributor = subject.build(0)
    start = time.perf_counter()
    fit(attributor, texts, labels)
    fitted = time.perf_counter()
    attributor.predict_proba(list(test))
    seconds, memory = time.perf_counter() - start, peak_mb()
    limits = subject.limits
    seen = (
        f"{seconds:.1f} s of {limits.seconds:g} ({fitted - start:.1f} s of it to fit {FEW} texts), "
        f"{memory} MB of {limits.memory_mb}"
    )
    return seconds <= limits.seconds and memory <= limits.memory_mb, seen


def contract(subject: Subject) -> Verdict:
    """`fit` returns the attributor itself, `classes_` are the labels, sorted, and answers are probabilities."""
    texts, labels = planted(FEW, "train")
    attributor = subject.build(0)
    if (returned := fit(attributor, texts, labels)) is not attributor:
        return False, f"fit returned a {type(returned).__name__} that is not the attributor itself"
    if (classes := np.asarray(attributor.classes_).tolist()) != sorted(HABITS):
        return False, f"classes_ is {classes}, not {sorted(HABITS)}"
    shape = _answers(attributor, planted(FEW, "test")[0]).shape
    return True, f"probabilities of shape {shape}, classes {', '.join(classes)}"


def seed(subject: Subject) -> Verdict:
    """The same seed gives the same answers in any state of the global random generators."""
    with global_randomness(0):
        first = taught(subject)
    with global_randomness(1):
        again = subject.build(SEED)
        fit(again, first.texts, first.labels)
        second = _answers(again, first.test)
    apart = float(np.abs(first.answers - second).max())
    seen = "the same answers" if apart == 0.0 else f"probabilities up to {apart:.2g} apart"
    return apart == 0.0, f"two fits with one seed give {seen}"


def refit(subject: Subject) -> Verdict:
    """A second fit forgets the first one, and no fit affects other objects."""
    used = subject.build(SEED)
    with global_randomness(0):
        fresh = taught(subject)
    # Other texts with shifted labels and one class more, which leave traces if anything is kept.
    others, names = planted(len(fresh.texts), "other")
    moved = [*names[1:], "zebra"]
    fit(used, others, moved)
    with contextlib.suppress(Exception):
        subject.build(0).predict_proba(["a text"])
        return False, "an unfitted object answers after another one was fitted"
    with global_randomness(0):
        fit(used, fresh.texts, fresh.labels)
        if (classes := np.asarray(used.classes_).tolist()) != sorted(HABITS):
            return False, f"fitted again, it has the classes {classes}"
        found = _answers(used, fresh.test)
    apart = float(np.abs(found - fresh.answers).max())
    seen = "the same answers" if apart <= TOLERANCE else f"probabilities up to {apart:.2g} apart"
    return apart <= TOLERANCE, f"a first and a second fit give {seen}"


def learns(subject: Subject) -> Verdict:
    """It finds planted habits: better than chance at p < 1e-4. A floor looks at no text and need not."""
    (texts, labels), (test, truth) = planted(TRAIN, "train"), planted(TEST, "test")
    found = asked(subject, 0, texts, labels, test)
    right = hits(found, truth)
    log10_p = paired.binomial_log10_p(right, TEST, 1 / len(HABITS))
    return subject.floor or log10_p < LOG10_P, _against_chance(right, log10_p)


def chance(subject: Subject) -> Verdict:
    """With random labels there is nothing to find: it is neither above nor below chance at p < 1e-4."""
    (texts, labels), (test, truth) = planted(FEW, "train"), planted(TEST, "test")
    # Test labels are random too: with planted classes, the hits of a random rule would depend on each other.
    lots = [
        [of[i] for i in streams.permutation(len(of), "conformance", "lots", name)]
        for name, of in (("train", labels), ("test", truth))
    ]
    right, share = hits(asked(subject, 0, texts, lots[0], test), lots[1]), 1 / len(HABITS)
    log10_p = min(paired.binomial_log10_p(right, TEST, share), paired.binomial_log10_p(TEST - right, TEST, 1 - share))
    return log10_p >= LOG10_P, _against_chance(right, log10_p)


def batches(subject: Subject) -> Verdict:
    """A text gets the same probabilities alone and in any batch and order, to 1e-5."""
    attributor = taught(subject).attributor
    given, _ = planted(FEW // 2, "test")
    # Texts of many lengths, to make padding visible; odd texts have a check of their own.
    test = [*given, *(text[: 6 * i + 1] for i, text in enumerate(given)), " ".join(given)]
    whole = _answers(attributor, test)
    # Each way to batch the texts, as lists of their indices.
    every = list(range(len(test)))
    guesses = whole.argmax(axis=1)
    ways = {
        "alone": [[i] for i in every],
        "in reverse order": [every[::-1]],
        "sorted by length": [sorted(every, key=lambda i: len(test[i]))],
        "among texts of the same guess": [[i for i in every if guesses[i] == k] for k in set(guesses.tolist())],
        "five times over": [every * 5],
    }
    apart = {}
    for way, parts in ways.items():
        differences = [np.abs(_answers(attributor, [test[i] for i in part]) - whole[part]).max() for part in parts]
        apart[way] = float(max(differences))
    worst = max(apart, key=lambda way: apart[way])
    return apart[worst] <= TOLERANCE, f"asked {worst}, a text's probabilities are up to {apart[worst]:.2g} apart"


def odd_texts(subject: Subject) -> Verdict:
    """No text is too odd, neither in training nor in prediction."""
    plain, odd = taught(subject), subject.build(SEED)
    for name, text in ODD.items():
        try:
            _answers(plain.attributor, [text])
        except (Exception, SystemExit) as error:
            return False, f"asked for {name}: {said(error)}"
    given = [label for label, _ in zip(itertools.cycle(HABITS), ODD, strict=False)]
    try:
        fit(odd, [*plain.texts, *ODD.values()], [*plain.labels, *given])
        _answers(odd, list(ODD.values()))
    except (Exception, SystemExit) as error:
        return False, f"fitted on odd texts among others: {said(error)}"
    return True, f"answers for {len(ODD)} odd texts, and learns from them"


CHECKS = (
    ContractCheck(
        build, "build(seed) must return a new, unfitted object; keep no state in the class or the module", True
    ),
    ContractCheck(
        run, "make it lighter, or raise `limits` in card.yaml; memory is that of the process, with libraries", True
    ),
    ContractCheck(
        contract,
        "keep scikit-learn's contract: fit sets classes_ and returns self; each row of answers sums to 1",
        True,
    ),
    ContractCheck(seed, "use the seed of build for every random draw (random_state=seed), and no global generator"),
    ContractCheck(
        refit, "start each fit from nothing: keep no texts, counts, classes or generator of an earlier fit or object"
    ),
    ContractCheck(
        learns, "see why it learns nothing: a solver may stop before its first step, or a network train too briefly"
    ),
    ContractCheck(chance, "use nothing but the arguments of fit and predict_proba"),
    ContractCheck(
        batches, "let each answer depend on its text alone: use no statistics of the batch, and mask all padding"
    ),
    ContractCheck(odd_texts, "handle texts without a token, texts longer than any context, and any character"),
)
"""All checks in their order; each one relies on the earlier ones that are marked as needed."""


def check(subject: Subject, one: ContractCheck) -> Verdict:
    """Make one check in this process; if the attributor raises, the check has failed."""
    try:
        return one.call(subject)
    except (Exception, SystemExit) as error:
        return False, said(error)


def fit(attributor: Attributor, texts: Sequence[str], labels: Sequence[str]) -> Any:
    """Fit as a run does, with prompts if `fit` has a parameter for them; returns what fit returns."""
    # Each prompt has one text of each class.
    extra: dict[str, Any] = {"groups": np.arange(len(texts)) // len(HABITS)} if takes_groups(attributor) else {}
    return attributor.fit(list(texts), list(labels), **extra)


class Taught(NamedTuple):
    """A fitted attributor, the texts that it learnt from, and its answers for others: (texts, classes)."""

    attributor: Attributor
    texts: Sequence[str]
    labels: Sequence[str]
    test: Sequence[str]
    answers: NDArray[np.float64]


def taught(subject: Subject) -> Taught:
    """Fit on few texts, whose habits have no exceptions; on more if these teach the attributor nothing.

    It then gives all texts the same answer, whatever it computes, and comparing its answers says nothing. Only a floor
    may do so.
    """
    test, _ = planted(FEW, "test")
    for n in (FEW, TRAIN):
        texts, labels = planted(n, "train", share=1.0)
        attributor = subject.build(SEED)
        fit(attributor, texts, labels)
        answers = _answers(attributor, test)
        if subject.floor or np.ptp(answers, axis=0).any():
            break
    return Taught(attributor, texts, labels, test, answers)


def asked(subject: Subject, seed: int, texts: Sequence[str], labels: Sequence[str], test: Sequence[str]) -> Attribution:
    """Fit a fresh attributor and return its answers, as a run does."""
    prompts = [i // len(HABITS) for i in range(len(texts))]
    return attribute(subject.build, seed, texts, labels, prompts, test)


def hits(found: Attribution, truth: Sequence[str]) -> float:
    """Number of correct answers, ties shared."""
    return float(per_text.credits(found.proba, np.array([found.classes.index(label) for label in truth])).sum())


@contextlib.contextmanager
def global_randomness(luck: int) -> Iterator[None]:
    """Set the global random generators to a state that depends on `luck`, and restore them afterwards."""
    own, numpys = random.getstate(), np.random.get_state()
    torch = sys.modules.get("torch")
    torchs = torch.get_rng_state() if torch else None
    random.seed(luck)
    np.random.seed(luck)
    if torch:
        torch.manual_seed(luck)
    try:
        yield
    finally:
        random.setstate(own)
        np.random.set_state(numpys)
        if torch:
            torch.set_rng_state(torchs)


def _answers(attributor: Attributor, texts: Sequence[str]) -> NDArray[np.float64]:
    return check_proba(attributor.predict_proba(list(texts)), len(texts), len(HABITS))


def _against_chance(right: float, log10_p: float) -> str:
    accuracy = right / TEST
    return f"accuracy {accuracy:.2f} of {TEST} texts, chance {1 / len(HABITS):.2f}: p = {10**log10_p:.1g}"


def said(error: BaseException) -> str:
    """The message about an exception; errors of the contract itself need no more than their text."""
    return str(error) if isinstance(error, AttributorError) else f"raised {last_line(error)}"
