"""What every attributor must keep, each rule as a plain function that is given a subject and says what it saw."""

from __future__ import annotations

import contextlib
import inspect
import itertools
import random
import resource
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from natfp_bench.base import streams
from natfp_bench.base.errors import AttributorError
from natfp_bench.base.limits import Limits
from natfp_bench.statistics import paired, per_text

from .attribute import Attribution, Attributor, attribute, check_proba
from .planted import HABITS, ODD, planted
from .registry import last_line

TRAIN, TEST, FEW = 360, 300, 60
"""Texts to learn habits from, texts to tell by them, and texts where what is learnt does not matter."""

LOG10_P = -4.0
"""A check that rests on luck fails an honest attributor once in 10,000 times."""

TOLERANCE = 1e-5
"""How far apart the probabilities of one text may be in different batches."""

Seen = tuple[bool, str]
"""Whether a check is passed, and what was seen."""


@dataclass(frozen=True)
class Subject:
    """What is checked: how to build it, whether it is declared a floor, and what its card allows."""

    build: Callable[[int], Attributor]
    floor: bool = False
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True)
class Check:
    """A check, what an author can do where it fails, and whether the later ones make no sense without it."""

    call: Callable[[Subject], Seen]
    mend: str
    needed: bool = False

    @property
    def name(self) -> str:
        """The function's name."""
        return self.call.__name__


def build(subject: Subject) -> Seen:
    """Each build gives an object of its own, which does not answer before it is fitted."""
    first, second = subject.build(0), subject.build(0)
    if first is second:
        return False, "build returned the same object twice"
    try:
        first.predict_proba(["a text"])
    except Exception as error:
        return True, f"a {type(first).__name__}; unfitted it raises {type(error).__name__}"
    return False, f"an unfitted {type(first).__name__} answers"


def run(subject: Subject) -> Seen:
    """One fit with its prediction ends, within the time and memory of the card."""
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
        f"{memory:.0f} MB of {limits.memory_mb}"
    )
    return seconds <= limits.seconds and memory <= limits.memory_mb, seen


def contract(subject: Subject) -> Seen:
    """Fit returns the attributor itself; classes_ are the labels, sorted; answers are probabilities."""
    texts, labels = planted(FEW, "train")
    attributor = subject.build(0)
    if (returned := fit(attributor, texts, labels)) is not attributor:
        return False, f"fit returned a {type(returned).__name__} that is not the attributor itself"
    if (classes := np.asarray(attributor.classes_).tolist()) != sorted(HABITS):
        return False, f"classes_ is {classes}, not {sorted(HABITS)}"
    shape = _answers(attributor, planted(FEW, "test")[0]).shape
    return True, f"probabilities of shape {shape}, classes {', '.join(classes)}"


def seed(subject: Subject) -> Seen:
    """The same seed gives the same answers, whatever the state of the global random generators."""
    (texts, labels), (test, _) = planted(FEW, "train"), planted(FEW, "test")
    answers = []
    for luck in range(2):
        with global_randomness(luck):
            answers.append(asked(subject, 7, texts, labels, test).proba)
    apart = float(np.abs(answers[0] - answers[1]).max())
    return apart == 0.0, f"two fits of one seed answer {'alike' if apart == 0.0 else f'up to {apart:.2g} apart'}"


def refit(subject: Subject) -> Seen:
    """A second fit forgets the first, and no fit is seen by other objects."""
    (texts, labels), (test, _) = planted(FEW, "train"), planted(FEW, "test")
    # Other texts, and their labels moved on by one class, of which there is one more: hard to forget.
    others, names = planted(FEW, "other")
    moved = [*names[1:], "zebra"]
    fresh, used = subject.build(0), subject.build(0)
    with global_randomness(0):
        fit(fresh, texts, labels)
        expected = _answers(fresh, test)
    fit(used, others, moved)
    with contextlib.suppress(Exception):
        subject.build(0).predict_proba(["a text"])
        return False, "an unfitted object answers after another one was fitted"
    with global_randomness(0):
        fit(used, texts, labels)
        if (classes := np.asarray(used.classes_).tolist()) != sorted(HABITS):
            return False, f"fitted again, it has the classes {classes}"
        found = _answers(used, test)
    apart = float(np.abs(found - expected).max())
    seen = "alike" if apart <= TOLERANCE else f"up to {apart:.2g} apart"
    return apart <= TOLERANCE, f"fitted for the first and for the second time, it answers {seen}"


def learns(subject: Subject) -> Seen:
    """Planted habits are found: better than chance at p < 1e-4; a floor looks at no text, and need not."""
    (texts, labels), (test, truth) = planted(TRAIN, "train"), planted(TEST, "test")
    found = asked(subject, 0, texts, labels, test)
    right = hits(found, truth)
    log10_p = paired.binomial_log10_p(right, TEST, 1 / len(HABITS))
    return subject.floor or log10_p < LOG10_P, _against_chance(right, log10_p)


def chance(subject: Subject) -> Seen:
    """Where labels are drawn by lot there is nothing to find: neither above chance nor below it at p < 1e-4."""
    (texts, labels), (test, truth) = planted(FEW, "train"), planted(TEST, "test")
    # Those of the test too: two planted classes side by side would move a random rule's hits together.
    lots = [
        [of[i] for i in streams.permutation(len(of), "conformance", "lots", name)]
        for name, of in (("train", labels), ("test", truth))
    ]
    right, share = hits(asked(subject, 0, texts, lots[0], test), lots[1]), 1 / len(HABITS)
    log10_p = min(paired.binomial_log10_p(right, TEST, share), paired.binomial_log10_p(TEST - right, TEST, 1 - share))
    return log10_p >= LOG10_P, _against_chance(right, log10_p)


def batches(subject: Subject) -> Seen:
    """A text gets the same probabilities alone and in any batch and order, to 1e-5."""
    texts, labels = planted(FEW, "train")
    attributor = subject.build(0)
    fit(attributor, texts, labels)
    given, _ = planted(FEW // 2, "test")
    # Of many lengths, where padding would show; what is odd besides is another check.
    test = [*given, *(text[: 6 * i + 1] for i, text in enumerate(given)), " ".join(given)]
    whole = _answers(attributor, test)
    # Each way of asking: batches of indices of texts.
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


def odd_texts(subject: Subject) -> Seen:
    """No text is too odd, in training or in prediction."""
    texts, labels = planted(FEW, "train")
    plain, odd = subject.build(0), subject.build(0)
    fit(plain, texts, labels)
    for name, text in ODD.items():
        try:
            _answers(plain, [text])
        except (Exception, SystemExit) as error:
            return False, f"asked for {name}: {said(error)}"
    given = [label for label, _ in zip(itertools.cycle(HABITS), ODD, strict=False)]
    try:
        fit(odd, [*texts, *ODD.values()], [*labels, *given])
        _answers(odd, list(ODD.values()))
    except (Exception, SystemExit) as error:
        return False, f"fitted on odd texts among others: {said(error)}"
    return True, f"answers for {len(ODD)} odd texts, and learns from them"


CHECKS = (
    Check(build, "build(seed) makes a new object, which fit alone makes ready; keep nothing in class or module", True),
    Check(run, "make it lighter, or raise `limits` in card.yaml; memory is all of the process, libraries too", True),
    Check(
        contract, "keep scikit-learn's contract: fit sets classes_, returns self; each row of answers sums to 1", True
    ),
    Check(seed, "take every random draw from the seed of build (random_state=seed), none from a global generator"),
    Check(refit, "begin fit from nothing: keep no texts, counts, classes or generator of an earlier fit or object"),
    Check(learns, "see that it learns: a solver may stop before its first step, a network be trained too briefly"),
    Check(chance, "read nothing but what fit and predict_proba are given"),
    Check(batches, "look at one text at a time in predict_proba: no statistics of the batch; mask all padding"),
    Check(odd_texts, "expect texts without a token, texts longer than any context, and any character"),
)
"""All checks, in the order in which they are made; each rests on those before it that are needed."""


def fit(attributor: Attributor, texts: Sequence[str], labels: Sequence[str]) -> Any:
    """Fit as a run does, prompts told where they are asked for; returns what fit returns."""
    # One text of each class continues a prompt.
    groups = {"groups": np.arange(len(texts)) // len(HABITS)}
    extra: dict[str, Any] = groups if "groups" in inspect.signature(attributor.fit).parameters else {}
    return attributor.fit(list(texts), list(labels), **extra)


def asked(subject: Subject, seed: int, texts: Sequence[str], labels: Sequence[str], test: Sequence[str]) -> Attribution:
    """Fit a fresh attributor and let it answer, in the same way as a run does."""
    prompts = [i // len(HABITS) for i in range(len(texts))]
    return attribute(subject.build, seed, texts, labels, prompts, test)


def hits(found: Attribution, truth: Sequence[str]) -> float:
    """Texts that were told right, ties shared."""
    return float(per_text.credits(found.proba, np.array([found.classes.index(label) for label in truth])).sum())


def peak_mb() -> float:
    """Largest resident size that this process has had, in MB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


@contextlib.contextmanager
def global_randomness(luck: int) -> Iterator[None]:
    """Put the global random generators into one of many states, and afterwards back into the one that they had."""
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
    """What was raised: the contract's own errors say it all."""
    return str(error) if isinstance(error, AttributorError) else f"raised {last_line(error)}"
