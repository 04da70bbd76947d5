"""Checkpoint folders with random weights, and tasks on models that are not trained here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

ARCHITECTURES = ("llama", "gpt2", "gpt_neox")

SMALL = {"sampling.texts": "60", "sampling.block": "30", "sampling.max_tokens": "16", "corpus.heldout_documents": "30"}


def save(folder: Path, corpus: Path, architecture: str, seed: int) -> Path:
    """Make a checkpoint folder with random weights. It is large enough to write texts of its own."""
    import torch

    from natfp_bench.corpus import tokens
    from natfp_bench.models import model
    from natfp_bench.plan.settings import ModelSpec

    spec = ModelSpec(architecture=architecture, width=32, layers=1, heads=2, feed_forward=32, context=64)
    tokenizer = tokens.load_tokenizer(corpus / "tokenizer.json")
    made = model.build(spec, tokenizer.get_vocab_size(), tokenizer.token_to_id(tokens.END), "tests", seed)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.mul_(8)
    model.save(made, corpus / "tokenizer.json", spec.context, folder)
    return folder


TASK = """\
task: {name}
version: 1
summary: Which checkpoint wrote a text?
factor:
  name: checkpoint
  fields: [{field}]
  levels: {levels}
settings:
  source: {source}
"""


def write(folder: Path, name: str, levels: dict[str, str], *, field: str = "source.model", **spec: Any) -> Path:
    """Write a task whose levels are checkpoints, or whatever else `field` says; returns the folder."""
    folder.mkdir(exist_ok=True)
    source = json.dumps({"kind": "checkpoint", **spec})
    (folder / f"{name}.yaml").write_text(TASK.format(name=name, field=field, levels=json.dumps(levels), source=source))
    return folder
