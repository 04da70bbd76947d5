"""Which texts an attributor learns from, and which it is tested on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .errors import UserError
from .spec import SplitSpec

UNSEEN_PROMPT = "unseen_prompt"


def test_rows(prompts: NDArray[np.int64], split: SplitSpec) -> NDArray[np.bool_]:
    """Mask of the test texts: every text of one prompt in `test_every`.

    prompts: (texts,) prompt ids. Split by prompt: texts that share a prompt leak its topic. Prompts are ids without
    meaning, so taking them in turn is as good as at random, and a prefix of the texts has the same proportions.
    Raises UserError where there are too few prompts to have both sides.
    """
    mask = np.asarray(prompts % split.test_every == split.test_every - 1)
    if mask.all() or not mask.any():
        raise UserError(
            f"{len(np.unique(prompts))} prompts cannot be split one in {split.test_every}\n"
            "  take a corpus with longer or more held-out documents, or --set split.test_every=2"
        )
    return mask
