"""The same experiment as a straight script: performance.py measures the package against it.

python benchmarks/straight.py [--preset quick] [--batch 500]

It trains four models that differ in their seeds, one after another, by transformers' Trainer, and samples texts by
`generate`. Three classifiers and the models' own likelihoods then identify the models. The reference attributor also
gets texts that are shorter, fewer, pooled, transformed or drawn in another way, and the most telling words are listed.
Each step uses all cores, as torch does by default. The corpus, the tokens, the recipe, the classifiers and the studies
are the package's own; everything else is what a researcher would write in an afternoon. It prints accuracies and
seconds as one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import straight_studies
from straight_models import fresh, generate, prepare, score, train

from natfp_bench.attributors import registry
from natfp_bench.corpus import tokens
from natfp_bench.plan.make_plan import make_plan

BASELINES = "naive_bayes,unigram,char_ngram"


def run(preset: str, batch: int, score_batch: int, folder: Path) -> dict[str, Any]:
    """Run the experiment; returns accuracies and the seconds of each stage."""
    plan = make_plan("seed_id", preset)
    clock, seconds = time.monotonic(), {}

    def lap(stage: str) -> None:
        nonlocal clock
        seconds[stage], clock = round(time.monotonic() - clock, 1), time.monotonic()

    settings = [variant.settings for variant in plan.variants]
    blocks = prepare(settings[0], folder)
    tokenizer = tokens.load_tokenizer(folder / "tokenizer.json")
    end, max_tokens = tokenizer.token_to_id(tokens.END), settings[0].sampling.max_tokens
    lap("corpus")
    trained = [train(fresh(one, end), one, blocks, folder) for one in settings]
    straight_studies.write_heldout(trained, folder, settings[0].model.context)
    lap("train")
    ids = [generate(one, plan.texts, max_tokens=max_tokens, end=end, batch=batch) for one in trained]
    every = plan.split.test_every
    others = straight_studies.other_texts(plan, trained, tokenizer, folder, batch=batch)
    texts = [tokenizer.decode_batch(rows, skip_special_tokens=True) for rows in ids]
    lap("sample")
    test = [row for rows in ids for row in rows[every - 1 :: every]]
    truth = np.repeat(np.arange(len(ids)), [len(rows[every - 1 :: every]) for rows in ids])
    likelihood = np.column_stack([score(one, test, end=end, batch=score_batch) for one in trained])
    found = {"ceiling": float((likelihood.argmax(1) == truth).mean())}
    lap("score")
    known = [(text, str(v)) for v, rows in enumerate(texts) for i, text in enumerate(rows) if i % every != every - 1]
    asked = [text for rows in texts for text in rows[every - 1 :: every]]
    for baseline in registry.find(BASELINES):
        attributor = registry.build(baseline, 0).fit([text for text, _ in known], [label for _, label in known])
        guess = attributor.predict_proba(asked).argmax(1)
        found[baseline.name] = float((guess == truth).mean())
    lap("attribute")
    straight_studies.study_texts(plan, ids, others, tokenizer)
    lap("study")
    return {"accuracy": found, "seconds": seconds}


def main() -> None:
    """Run it and print the figures."""
    parser = argparse.ArgumentParser(description="The task seed_id as a straight script.")
    parser.add_argument("--preset", default="quick")
    parser.add_argument("--batch", type=int, default=500, help="texts that are sampled together")
    parser.add_argument("--score-batch", type=int, default=64, help="texts that are scored together")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(run(options.preset, options.batch, options.score_batch, Path(folder))))


if __name__ == "__main__":
    main()
