"""One fit of one attributor: what it is shown, what it must answer.

The contract is scikit-learn's classifier contract on raw strings. Whatever could give a label away besides the text
(the order of the texts, the numbers of the prompts) is shuffled first, and whatever comes back is checked.
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
    """A classifier from text to label, in scikit-learn's contract; any pipeline on strings is one.

    `classes_` is set by `fit`: the labels, sorted. If `fit` has a parameter `groups`, it gets one opaque prompt number
    a text, which validation inside `fit` must not separate. `predict_proba` returns (texts, classes), rows summing to
    1, and answers each text alike, alone or in any batch.
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
    """What one attributor answered: proba is (test texts, classes) float64, rows sum to 1, classes are sorted.

    peak_mb: most resident memory of the process meanwhile, what was loaded before included.
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
    """Fit a fresh attributor on the training texts and let it answer for the test texts.

    train_texts, train_labels, train_prompts: of equal length. `threads` limits BLAS and OpenMP, because the order of
    a float sum, and so the answer's last digits, would depend on the machine's cores.
    Raises AttributorError if the attributor raises or breaks the contract.
    """
    classes = tuple(sorted(set(train_labels)))
    order = streams.permutation(len(train_texts), "attribute", "order", seed)
    texts, labels = [train_texts[i] for i in order], [train_labels[i] for i in order]
    # Test texts come sorted by variant: an attributor that saw their order could guess runs instead of texts.
    shuffled = streams.permutation(len(test_texts), "attribute", "test", seed)

    attributor = _guarded("build", lambda: build(seed))
    # Entered after build, whose imports load the libraries: one loaded later would escape the limit.
    with threadpool_limits(threads):
        extra = {"groups": _opaque(train_prompts, seed)[order]} if _takes_groups(attributor) else {}
        forget_peak()
        start = time.perf_counter()
        _guarded("fit", lambda: attributor.fit(texts, labels, **extra))
        fitted = time.perf_counter()
        answer = _guarded("predict_proba", lambda: attributor.predict_proba([test_texts[i] for i in shuffled]))
        predicted, peak = time.perf_counter(), peak_mb()
        seen = _guarded("classes_", lambda: np.asarray(attributor.classes_).tolist())
    if seen != list(classes):
        raise AttributorError(
            f"classes_ is {_short(seen)}, not {_short(list(classes))}: fit must set it to the labels, sorted"
        )
    checked = check_proba(answer, len(test_texts), len(classes))
    proba = np.empty_like(checked)
    proba[shuffled] = checked
    return Attribution(classes, proba, fitted - start, predicted - fitted, peak)


def forget_peak() -> None:
    """Let the peak of this process's memory begin anew, where the system knows how: Linux does."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_mb() -> int:
    """Most resident memory of this process since the peak began, in MB; since its start where that is all there is."""
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/self/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) // 1024
    # Bytes on macOS, kilobytes elsewhere.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // (2**20 if sys.platform == "darwin" else 2**10)


def check_proba(answer: Any, texts: int, classes: int) -> NDArray[np.float64]:
    """Check that an answer is (texts, classes) probabilities, and make each row sum to 1 as floats can.

    Raises AttributorError that says what was seen and what was due.
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
            f"predict_proba returned shape {proba.shape}, not ({texts}, {classes}): one row a text, one column a class"
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
    # Which texts share a prompt is told; which prompt it was is not.
    number = {prompt: i for i, prompt in enumerate(dict.fromkeys(prompts))}
    renamed = streams.permutation(len(number), "attribute", "groups", seed)
    return renamed[np.array([number[prompt] for prompt in prompts], dtype=np.int64)]


def _takes_groups(attributor: Attributor) -> bool:
    parameters = _guarded("fit", lambda: inspect.signature(attributor.fit).parameters)
    return "groups" in parameters


def _guarded(doing: str, call: Callable[[], Any]) -> Any:
    try:
        return call()
    except NatfpError:
        raise
    except (Exception, SystemExit) as error:  # one attributor's fault, SystemExit included, must not end the run
        raise AttributorError(f"{doing} raised {last_line(error)}") from error


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 120 else f"{text[:117]}..."
