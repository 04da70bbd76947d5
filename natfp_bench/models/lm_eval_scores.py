"""Capability parity by lm-evaluation-harness: are the models that are told apart equally good?

Two models that differ in quality are easily told apart. Offline there is one task, the held-out documents of the
corpus; online any task of lm-eval's can be asked for by name.
"""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from natfp_bench.base import yaml_source
from natfp_bench.base.errors import UserError
from natfp_bench.corpus.tokens import read_heldout

from .lm_eval_backend import quiet

HELD_OUT = "natfp_heldout"

TASK = Path(__file__).parent / "lm_eval_tasks" / f"{HELD_OUT}.yaml"


def parity(
    model: torch.nn.Module,
    tokenizer: Any,
    corpus: Path,
    *,
    begin: int,
    context: int,
    tasks: Sequence[str] = (),
    device: torch.device,
) -> dict[str, float]:
    """Score a model by lm-eval; returns task/metric -> value.

    model, tokenizer: of transformers. corpus: folder with held-out documents. begin: token before each text. context:
    positions at a time. tasks: of lm-eval's own, beside the held-out documents. Raises UserError for a task that
    lm-eval does not know, or whose data cannot be had.
    """
    from lm_eval.models.huggingface import HFLM

    with quiet():
        wrapped = HFLM(
            pretrained=model,
            tokenizer=tokenizer,
            max_length=context,
            batch_size=1,
            prefix_token_id=begin,
            add_bos_token=False,
            device=str(device),
        )
        found = {f"{HELD_OUT}/bits_per_byte": held_out_bits(wrapped, tokenizer, corpus)}
        return {**found, **(_named(wrapped, tasks) if tasks else {})}


def held_out_bits(wrapped: Any, tokenizer: Any, corpus: Path) -> float:
    """Bits per byte of the held-out documents, by lm-eval's rolling log-likelihoods, ends included."""
    from lm_eval import simple_evaluate
    from lm_eval.tasks import TaskManager

    documents = read_heldout(corpus)
    end = tokenizer.eos_token or tokenizer.bos_token or ""
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "heldout.jsonl"
        rows = [json.dumps({"number": i, "target": document.text + end}) for i, document in enumerate(documents)]
        data.write_text("\n".join(rows) + "\n", encoding="utf-8")
        task = dict(yaml_source.load(TASK).data)
        task["dataset_kwargs"] = {"data_files": {"test": str(data)}, "cache_dir": folder}
        result = simple_evaluate(
            model=wrapped,
            tasks=[task],
            task_manager=TaskManager(include_defaults=False),
            log_samples=True,
            bootstrap_iters=0,
        )
    samples = result["samples"][HELD_OUT]
    nats = np.zeros(len(documents))
    for sample in samples:
        (answer,) = sample["filtered_resps"]
        nats[sample["doc"]["number"]] = float(answer[0] if isinstance(answer, list | tuple) else answer)
    return float(-nats.sum() / math.log(2) / sum(len(document.text.encode()) for document in documents))


def _named(wrapped: Any, tasks: Sequence[str]) -> dict[str, float]:
    """Scores of lm-eval's own tasks, which load their data from the Hub."""
    from lm_eval import simple_evaluate

    try:
        result = simple_evaluate(model=wrapped, tasks=list(tasks), log_samples=False, bootstrap_iters=0)
    except Exception as error:  # a library of a thousand tasks raises everything
        said = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise UserError(
            f"--parity-tasks {','.join(tasks)}: lm-eval cannot run them ({type(error).__name__}: {said})\n"
            "  lm-eval ls tasks   names them; their data need the network or a filled cache"
        ) from None
    scores = {}
    for task, metrics in result["results"].items():
        for name, value in metrics.items():
            metric, _, chosen = name.partition(",")
            if isinstance(value, int | float) and not metric.endswith("_stderr") and chosen in ("none", ""):
                scores[f"{task}/{metric}"] = float(value)
    return scores
