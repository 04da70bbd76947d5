"""Which texts an attributor is trained on, and which it is tested on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from natfp_bench.base.errors import UserError

from .task_files import SplitSpec

UNSEEN_PROMPT = "unseen_prompt"
UNSEEN_REPLICATE = "unseen_replicate"
SEEN_REPLICATE = "seen_replicate"


@dataclass(frozen=True)
class Fold:
    """One fit: it is trained on training texts of the variants `known`, and tested on test texts of `tested`.

    known, tested: (variants,) bool; number: the replicate that is held out, 0 if none is.
    """

    number: int
    known: NDArray[np.bool_]
    tested: NDArray[np.bool_]


def folds(split: str, replicates: NDArray[np.int64]) -> list[Fold]:
    """Folds of a split; replicates: (variants,) the replicate of each variant.

    `unseen_replicate` holds out each replicate in turn, at every level. `seen_replicate` has the same fits, tested on
    the variants that they were trained on, so that the two splits differ only in the models that wrote the test texts.
    """
    everyone = np.ones(len(replicates), dtype=np.bool_)
    match split:
        case "unseen_prompt":
            return [Fold(0, everyone, everyone)]
        case "unseen_replicate":
            return [Fold(int(r), replicates != r, replicates == r) for r in np.unique(replicates)]
        case "seen_replicate":
            return [Fold(int(r), replicates != r, replicates != r) for r in np.unique(replicates)]
    raise ValueError(f"no split {split!r}")


def is_test(prompts: Any, test_every: int) -> Any:
    """Whether prompts (an id, or an array of ids) are for testing: one in `test_every` is."""
    return prompts % test_every == test_every - 1


def rows_for(train: int, test_every: int) -> int:
    """How many rows are enough for so many training texts, whatever the number of prompts.

    Prompts are counted off in turn, so at most one row in `test_every` is for testing, from the first row on.
    """
    return -(-train * test_every // (test_every - 1))


def test_rows(prompts: NDArray[np.int64], split: SplitSpec) -> NDArray[np.bool_]:
    """Mask of the test texts: all texts of one prompt in `test_every`.

    prompts: (texts,) prompt ids. Split by prompt: texts that share a prompt leak its topic. Ids have no meaning, so
    counting them off is as good as drawing them, and each prefix of the texts has the same proportions.
    Raises UserError if there are too few prompts for both sides.
    """
    mask = np.asarray(is_test(prompts, split.test_every))
    if mask.all() or not mask.any():
        raise UserError(
            f"{len(np.unique(prompts))} prompts are too few to keep one in {split.test_every} for testing\n"
            "  take a corpus with longer or more held-out documents, or --set split.test_every=2"
        )
    return mask
