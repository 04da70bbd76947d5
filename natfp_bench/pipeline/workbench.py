"""What workers import once: the heavy libraries, set up for work, and the function that makes a stage's entry."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import transformers
from tqdm import tqdm

import natfp_bench.attributors.text_classifier  # loaded before classifiers are forked
import natfp_bench.models.sample
import natfp_bench.models.train  # noqa: F401  loaded before workers are forked

from . import allocator
from .engine import Context
from .stages.stage import Work, Workplace
from .store import Made, Store

allocator.keep()
os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
transformers.utils.logging.disable_progress_bar()
# A lock between processes outlives a worker that is ended, with a warning; here no other process draws bars.
tqdm.set_lock(threading.RLock())


def make(work: Work, context: Context) -> tuple[dict[str, Any], Made]:
    """Make a stage's entry, unless another process just did; returns its note, and how it was made."""
    store, stage = Store(Path(work.store), context.warn), work.stage

    def fill(folder: Path) -> dict[str, Any]:
        return stage.run(Workplace(store, folder, context, work.device, work.start)).model_dump(mode="json")

    entry = store.make(stage.kind, stage.key, work.label, fill)
    allocator.release()
    return entry.meta, entry.made
