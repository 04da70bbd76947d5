"""One fit of one attributor: what it gets to see, and what it must answer.

The contract is scikit-learn's classifier contract on raw strings. Everything else that could reveal a label (the order
of the texts, the numbers of the prompts) is shuffled first, and all answers are checked.
"""

from __future__ import annotations

import contextlib
import inspect
import resource
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from natfp_bench.base import streams
from natfp_bench.base.errors import AttributorError, NatfpError

from .registry import last_line

TOLERANCE = 1e-6
"""How far a probability may lie outside [0, 1], and a row's sum from 1."""


@runtime_checkable
class Attributor(Protocol):
    """A classifier from text to label with scikit-learn's contract; any pipeline on strings is one.

    `fit` sets `classes_`, the labels, sorted. If `fit` has a parameter `groups`, it gets one opaque prompt number per
    text; validation inside `fit` must not separate texts of one number. `predict_proba` returns (texts, classes), whose
    rows sum to 1, and gives a text the same answer alone and in any batch.
    """

    classes_: NDArray[Any]

    def fit(self, texts: Sequence[str], labels: Sequence[str]) -> Self:
        """Learn from texts and their labels."""
        ...

    def predict_proba(self, texts: Sequence[str]) -> NDArray[Any]:
        """Probability of each class for each text."""
        ...


@dataclass(frozen=True)
class Attribution:
    """The answers of one attributor: proba is (test texts, classes) float64, rows sum to 1, classes are sorted.

    peak_mb: highest resident memory of its process meanwhile, including everything loaded before.
    """

    classes: tuple[str, ...]
    proba: NDArray[np.float64]
    fit_seconds: float
    predict_seconds: float
    peak_mb: int


def attribute(
    build: Callable[[int], Attributor],
    seed: int,
    train_texts: Sequence[str],
    train_labels: Sequence[str],
    train_prompts: Sequence[str | int],
    test_texts: Sequence[str],
    *,
    threads: int = 1,
) -> Attribution:
    """Fit a fresh attributor on the training texts, and return its answers for the test texts.

    train_texts, train_labels, train_prompts: of equal length. threads: limit for BLAS and OpenMP; without it, the order
    of float sums, and so the last digits of the answers, would depend on the cores of the machine.
    Raises AttributorError if the attributor raises or breaks the contract.
    """
    classes = tuple(sorted(set(train_labels)))
    order = streams.permutation(len(train_texts), "attribute", "order", seed)
    texts, labels = [train_texts[i] for i in order], [train_labels[i] for i in order]
    # Test texts come sorted by variant: an attributor that saw their order could guess whole blocks of texts.
    shuffled = streams.permutation(len(test_texts), "attribute", "test", seed)

    attributor = guarded("build", lambda: build(seed))
    # The limit is set after build, which imports the libraries: a library loaded later would escape it.
    with threadpool_limits(threads):
        grouped = guarded("fit", lambda: takes_groups(attributor))
        extra = {"groups": _opaque(train_prompts, seed)[order]} if grouped else {}
        forget_peak()
        start = time.perf_counter()
        guarded("fit", lambda: attributor.fit(texts, labels, **extra))
        fitted = time.perf_counter()
        seen = guarded("classes_", lambda: np.asarray(attributor.classes_).tolist())
        if seen != list(classes):
            raise AttributorError(
                f"classes_ is {_short(seen)}, not {_short(list(classes))}: fit must set it to the labels, sorted"
            )
        asked = time.perf_counter()
        answer = guarded("predict_proba", lambda: attributor.predict_proba([test_texts[i] for i in shuffled]))
        predicted, peak = time.perf_counter(), getattr(attributor, "peak_mb", None)
    checked = check_proba(answer, len(test_texts), len(classes))
    proba = np.empty_like(checked)
    proba[shuffled] = checked
    return Attribution(classes, proba, fitted - start, predicted - asked, peak_mb() if peak is None else peak)


def forget_peak() -> None:
    """Reset the peak of this process's memory, if the system can; Linux can."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")


def peak_mb() -> int:
    """Highest resident memory of this process in MB, since the last reset or, if the system has none, its start."""
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) // 1024
    # ru_maxrss is in bytes on macOS and in kilobytes elsewhere.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // (2**20 if sys.platform == "darwin" else 2**10)


def check_proba(answer: Any, texts: int, classes: int) -> NDArray[np.float64]:
    """Check that an answer is (texts, classes) probabilities, and normalise each row exactly.

    Raises AttributorError that says what was seen and what was expected.
    """
    try:
        proba = np.array(answer, dtype=np.float64)
    except (TypeError, ValueError):
        kind = type(answer).__name__
        raise AttributorError(
            f"predict_proba returned a {kind} that is no array of numbers; return (texts, classes)"
        ) from None
    if proba.shape != (texts, classes):
        raise AttributorError(
            f"predict_proba returned shape {proba.shape}, not ({texts}, {classes}): "
            "one row per text, one column per class"
        )
    if bad := int(np.sum(~np.isfinite(proba).all(axis=1))):
        raise AttributorError(f"predict_proba returned NaN or infinity for {bad} of {texts} texts")
    if proba.size and (proba.min() < -TOLERANCE or proba.max() > 1 + TOLERANCE):
        raise AttributorError(
            f"predict_proba returned numbers from {proba.min():.6g} to {proba.max():.6g}; probabilities are in [0, 1]"
        )
    sums = proba.sum(axis=1)
    if proba.size and (off := np.abs(sums - 1)).max() > TOLERANCE:
        raise AttributorError(
            f"predict_proba returned a row that sums to {sums[off.argmax()]:.6g}; each row must sum to 1"
        )
    proba = proba.clip(0, 1)
    return np.asarray(proba / proba.sum(axis=1, keepdims=True), dtype=np.float64)


def _opaque(prompts: Sequence[str | int], seed: int) -> NDArray[np.int64]:
    # The numbers show which texts share a prompt, but not which prompt it was.
    number = {prompt: i for i, prompt in enumerate(dict.fromkeys(prompts))}
    renamed = streams.permutation(len(number), "attribute", "groups", seed)
    return renamed[np.array([number[prompt] for prompt in prompts], dtype=np.int64)]


def takes_groups(attributor: Attributor) -> bool:
    """Whether `fit` has a parameter for the numbers of prompts; one in another process says so itself."""
    said: bool | None = getattr(attributor, "takes_groups", None)
    return "groups" in inspect.signature(attributor.fit).parameters if said is None else said


def guarded(doing: str, call: Callable[[], Any]) -> Any:
    """Call a classifier's code; raises AttributorError, which names what was done, for whatever that raises."""
    try:
        return call()
    except NatfpError:
        raise
    except (Exception, SystemExit) as error:  # a fault of one attributor, SystemExit included, must not end the run
        raise AttributorError(f"{doing} raised {last_line(error)}") from error


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 120 else f"{text[:117]}..."
