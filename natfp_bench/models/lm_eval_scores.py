"""Scores of a model's capabilities by lm-evaluation-harness.

They show whether the models of a task are equally good ("capability parity"): models of different quality are easy to
identify. Offline there is one task, the held-out documents of the corpus; online any task of lm-eval can be named.
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


def capability_scores(
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

    model, tokenizer: objects of transformers. corpus: folder with held-out documents. begin: token before each text.
    context: positions per window. tasks: names of lm-eval tasks, in addition to the held-out documents. Raises
    UserError if lm-eval does not know a task, or cannot load its data.
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
    """Bits per byte of the held-out documents with their end tokens, by lm-eval's rolling log-likelihoods."""
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
    """Scores by lm-eval's own tasks, which load their data from the Hub."""
    from lm_eval import simple_evaluate

    try:
        result = simple_evaluate(model=wrapped, tasks=list(tasks), log_samples=False, bootstrap_iters=0)
    except Exception as error:  # lm-eval's many tasks can raise anything
        said = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise UserError(
            f"--parity-tasks {','.join(tasks)}: lm-eval cannot run them ({type(error).__name__}: {said})\n"
            "  lm-eval ls tasks   lists the tasks; their data come from the network or the cache"
        ) from None
    scores = {}
    for task, metrics in result["results"].items():
        for name, value in metrics.items():
            metric, _, chosen = name.partition(",")
            if isinstance(value, int | float) and not metric.endswith("_stderr") and chosen in ("none", ""):
                scores[f"{task}/{metric}"] = float(value)
    return scores
