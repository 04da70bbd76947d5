"""Fine-tuning of a released model: what its training starts from, and the ordinary checkpoint that is left at its end.

The training itself is that of `train`. With LoRA (Hu et al., 2022), small matrices beside those of the layers are
trained, and added to them at the end.
"""

from __future__ import annotations

import importlib
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray

from natfp_bench.base import streams
from natfp_bench.corpus.tokens import TextReader
from natfp_bench.plan.descent import TuningSpec
from natfp_bench.plan.text_settings import SourceSpec

from . import checkpoint

SCALE = 2
"""LoRA's alpha by rank: what the adapters say counts as much at every rank."""


@dataclass(frozen=True)
class Released:
    """A released model that is to be fine-tuned.

    where: the checkpoint. reader: its tokenizer. window: positions in which held-out documents are scored.
    """

    where: SourceSpec
    tuning: TuningSpec
    reader: TextReader
    window: int

    def blocks(self, packed: NDArray[Any]) -> NDArray[Any]:
        """The part of the packed blocks that is read; all parts have equally many."""
        size = len(packed) // self.tuning.parts
        return packed[self.tuning.part * size : (self.tuning.part + 1) * size]

    def model(self, seed: int, init: int) -> torch.nn.Module:
        """Load the model; with LoRA, its own weights are frozen, and adapters begin at weights of the seed `init`."""
        model = checkpoint.load_weights(self.where)
        rank = self.tuning.lora_rank
        if not rank:
            # What a file holds in another order would be trained in another order.
            return model.requires_grad_(True)
        # An optional package, which has no types.
        peft = importlib.import_module("peft")
        spec = peft.LoraConfig(
            r=rank,
            lora_alpha=SCALE * rank,
            lora_dropout=0.0,
            bias="none",
            target_modules="all-linear",
            task_type="CAUSAL_LM",
            fan_in_fan_out=any(type(module).__name__ == "Conv1D" for module in model.modules()),
        )
        with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
            # peft reads names of transformers that have newer ones.
            warnings.simplefilter("ignore", FutureWarning)
            torch.manual_seed(streams.seed(seed, "adapters", init))
            adapted: torch.nn.Module = peft.get_peft_model(model, spec)
        return adapted

    def save(self, model: torch.nn.Module, folder: Path) -> torch.nn.Module:
        """Write an ordinary checkpoint folder, adapters merged; returns the whole model."""
        whole: Any = model
        if self.tuning.lora_rank:
            whole = whole.merge_and_unload()
        whole.save_pretrained(folder)
        checkpoint.loaded_tokenizer(self.where).save_pretrained(folder)
        self.reader.tokenizer.save(str(folder / "tokenizer.json"))
        merged: torch.nn.Module = whole.eval()
        return merged
