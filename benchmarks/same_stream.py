"""How many texts stay the same, word for word, if one model draws them with the same random numbers, served otherwise?

python benchmarks/same_stream.py MODEL_FOLDER [--texts 500] [--max-tokens 64]

MODEL_FOLDER: a checkpoint with its tokenizer, such as the folder of a trained model in the store. Every way of the task
`serving_id` is compared with its first one. The task itself draws independently at each level, since equal random
numbers would make texts equal, and this would look like evidence. The C++ compiler must be there.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from natfp_bench.corpus import tokens
from natfp_bench.models import model as models
from natfp_bench.models import sample
from natfp_bench.plan.make_plan import make_plan
from natfp_bench.plan.text_settings import DrawSpec, ServeSpec


def texts(folder: Path, serve: ServeSpec, number: int, length: int) -> list[str]:
    """Draw texts from the model in a folder; row n has the same random numbers however it is served."""
    model, reader = models.load(folder, serve, torch.device("cpu")), tokens.reader(folder, {})
    draw, prompts = DrawSpec(max_tokens=length, block=serve.batch), [[reader.begin]]
    found: list[str] = []
    for start in range(0, number, serve.batch):
        rows = range(start, min(start + serve.batch, number))
        how = "fused" if serve.compile else "kept"
        found += sample.sample_rows(
            model, draw, rows, prompts, reader.tokenizer, reader.end, "same stream", prefix=how
        ).texts
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the share of equal texts of each way to serve."""
    parser = argparse.ArgumentParser(description="Compare texts of one random stream between ways to serve a model.")
    parser.add_argument("folder", type=Path, help="checkpoint folder with its tokenizer")
    parser.add_argument("--texts", type=int, default=500)
    parser.add_argument("--max-tokens", type=int, default=64)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    first: list[str] = []
    print("way of serving   equal texts   seconds")
    for variant in make_plan("serving_id", "smoke", overrides={"replicates": "1"}).variants:
        start = time.monotonic()
        found = texts(options.folder, variant.settings.serve, options.texts, options.max_tokens)
        first = first or found
        equal = sum(a == b for a, b in zip(first, found, strict=True))
        print(f"{variant.level:16} {equal:5} of {len(found):5} {time.monotonic() - start:8.1f}")


if __name__ == "__main__":
    main()
