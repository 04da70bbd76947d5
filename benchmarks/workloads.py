"""The workloads that `performance.py` measures, each in a process of its own.

python benchmarks/workloads.py NAME FOLDER OPTIONS

The workload `prepare` makes FOLDER; OPTIONS is a JSON object. The last line printed is a JSON object. No figure
includes start-up: processes wait for each other once they are warm. A rate counts what all of them did between the
first start and the last end.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from threading import Barrier
from typing import Any, NamedTuple

from natfp_bench.models.metas import Prefix

PRESET = "quick"
BATCH, RATE = 16, 1.5e-3
"""Texts per step and learning rate of an attributor that tunes language models."""

PATIENCE = 900.0
"""Seconds that a process waits for the others at most."""

barrier: Barrier | None = None


class Span(NamedTuple):
    """Number of tokens between two readings of the clock; first: seconds until the first step was done."""

    tokens: int
    start: float
    end: float
    first: float = 0.0


def _join(shared: Barrier) -> None:
    global barrier
    barrier = shared


def meet() -> float:
    """Wait for the other processes; returns the time."""
    if barrier is not None:
        barrier.wait(PATIENCE)
    return time.monotonic()


def crew(count: int, work: Callable[[int], Span]) -> dict[str, float]:
    """Do work in so many fresh processes at once; returns their common rate, in tokens per second."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(count, context, _join, (context.Barrier(count),)) as pool:
        spans = list(pool.map(work, range(count)))
    rate = sum(span.tokens for span in spans) / (max(s.end for s in spans) - min(s.start for s in spans))
    return {"rate": rate, "first": max(span.first for span in spans)}


class Clock:
    """Progress of a training that reads the time when the training is warm, and at its end."""

    def __init__(self, warm: int) -> None:
        self.warm, self.begun = warm, time.monotonic()
        self.first, self.start, self.counted, self.end, self.done = 0.0, 0.0, 0, 0.0, 0

    def __call__(self, done: int, total: int, _: str = "") -> None:
        """Note that `done` of `total` tokens are done."""
        self.first = self.first or time.monotonic() - self.begun
        if not self.start and done >= self.warm:
            self.counted, self.start = done, meet()
        if done == total:
            self.done, self.end = done, time.monotonic()

    @property
    def span(self) -> Span:
        """What was done between the two readings."""
        return Span(self.done - self.counted, self.start, self.end, self.first)


def _settings(index: int, **numerics: Any) -> Any:
    """Settings of the preset, with the model's own seeds."""
    from natfp_bench.plan.make_plan import make_plan
    from natfp_bench.plan.settings import SeedsSpec

    settings = make_plan("seed_id", PRESET).variants[0].settings
    seeds = SeedsSpec(init=index, data_order=index, dropout=index)
    return settings.model_copy(
        update={"seeds": seeds, "numerics": settings.numerics.model_copy(update=numerics)}, deep=True
    )


def _with_budget(settings: Any, **budget: Any) -> Any:
    return settings.model_copy(update={"budget": settings.budget.model_copy(update=budget)})


def _step_tokens(settings: Any) -> int:
    return int(settings.budget.batch * settings.model.context)


# Ours: the package's own functions, set up as in its workers.


def _train(index: int, folder: Path, *, steps: int, warm: int, compiled: bool = False, device: str = "cpu") -> Span:
    import torch

    import natfp_bench.pipeline.workbench  # noqa: F401  # workers import it; it sets how they hold memory
    from natfp_bench.models import train

    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(folder / "compiled")
    settings = _settings(index, compile=compiled)
    # Stopped early, so that checkpoints are as rare as in a whole training.
    settings = _with_budget(settings, stop=steps / settings.steps)
    clock = Clock(warm * _step_tokens(settings))
    with tempfile.TemporaryDirectory() as out:
        job = train.TrainingJob(settings, 0, folder / "corpus", Path(out), Path(out, "partial"))
        train.train(job, torch.device(device), progress=clock)
    return clock.span


def train_ours(folder: Path, *, processes: int, **how: Any) -> dict[str, float]:
    """Train one model in each process, on one thread each."""
    return crew(processes, partial(_train, folder=folder, **how))


def _model(folder: Path, index: int, device: str = "cpu") -> Any:
    import torch

    from natfp_bench.models import model
    from natfp_bench.plan.text_settings import ServeSpec

    return model.load(folder / f"model-{index % 4}", ServeSpec(), torch.device(device))


def _begun(folder: Path) -> tuple[Any, Any, int, list[list[int]]]:
    """Sampler, tokenizer, end token, and one empty prompt."""
    from natfp_bench.corpus import tokens
    from natfp_bench.models import sample

    settings = _settings(0)
    reader = tokens.reader(folder / "corpus", {})
    prompts = sample.encode_prompts(reader.tokenizer, [""], reader.begin, settings.sampling, settings.model.context)
    return settings.sampling, reader.tokenizer, reader.end, prompts


def _one_thread() -> None:
    import torch

    import natfp_bench.pipeline.workbench  # noqa: F401
    from natfp_bench.models import model

    model.set_numerics(_settings(0).numerics, torch.device("cpu"))


def _sample(index: int, folder: Path, *, blocks: int, prefix: Prefix, device: str) -> Span:
    from natfp_bench.models import sample

    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(folder / "compiled")
    _one_thread()
    spec, tokenizer, end, prompts = _begun(folder)
    trained, drawn = _model(folder, index, device), 0
    sample.sample_rows(trained, spec, range(spec.block), prompts, tokenizer, end, 0, "warm", prefix=prefix)
    start = meet()
    for block in range(blocks):
        rows = range(block * spec.block, (block + 1) * spec.block)
        texts = sample.sample_rows(trained, spec, rows, prompts, tokenizer, end, 0, index, prefix=prefix)
        drawn += int(texts.lengths.sum())
    return Span(drawn, start, time.monotonic())


def sample_ours(
    folder: Path, *, processes: int, blocks: int, prefix: Prefix = "kept", device: str = "cpu"
) -> dict[str, float]:
    """Sample blocks of the preset's size in each process, on one thread each."""
    return crew(processes, partial(_sample, folder=folder, blocks=blocks, prefix=prefix, device=device))


def _texts(folder: Path) -> Any:
    from natfp_bench.models.sample import SampleSet

    return SampleSet.join([SampleSet.read(folder / f"texts-{index}.parquet") for index in range(4)])


def _score(index: int, folder: Path) -> Span:
    import numpy as np

    from natfp_bench.models import sample
    from natfp_bench.pipeline.stages.score import ROWS

    _one_thread()
    spec, _, _, prompts = _begun(folder)
    trained, texts = _model(folder, index), _texts(folder)
    sample.token_log_likelihood(trained, spec, texts.take(np.arange(128)), prompts, rows=ROWS["cpu"])
    start = meet()
    sample.token_log_likelihood(trained, spec, texts, prompts, rows=ROWS["cpu"])
    return Span(int(texts.lengths.sum()), start, time.monotonic())


def score_ours(folder: Path, *, processes: int) -> dict[str, float]:
    """Score all texts under one model in each process, on one thread each."""
    return crew(processes, partial(_score, folder=folder))


def _fit(index: int, folder: Path, *, texts: int) -> Span:
    from natfp_bench.attributors import class_models

    _one_thread()
    end, model = _begun(folder)[2], _model(folder, index)
    rows = [[end, *row] for row in _texts(folder).ids[:texts]]

    def work(part: Sequence[Sequence[int]]) -> None:
        class_models.epochs_over(model.train(), part, "fit", epochs=1, batch=BATCH, rate=RATE)(0)
        class_models.log_likelihoods([model.eval()], part)

    work(rows[: 4 * BATCH])
    start = meet()
    work(rows)
    return Span(sum(map(len, rows)), start, time.monotonic())


def fit_ours(folder: Path, *, processes: int, texts: int) -> dict[str, float]:
    """Tune a model on texts and score them in each process, on one thread each, as attributors of the kit do."""
    return crew(processes, partial(_fit, folder=folder, texts=texts))


# Theirs: transformers with its defaults, on all cores.


def train_theirs(folder: Path, *, steps: int, warm: int) -> dict[str, float]:
    """Train one model by transformers' Trainer, timed from a warm step to the last."""
    import straight_models
    from transformers import TrainerCallback

    from natfp_bench.corpus import tokens

    settings = _settings(0)
    size = _step_tokens(settings)
    clock = Clock(warm * size)

    class Watch(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, _: Any, state: Any, __: Any, **___: Any) -> None:
            clock(state.global_step * size, steps * size)

    blocks = tokens.read_blocks(folder / "corpus", settings.model.context)
    untrained = straight_models.fresh(settings, tokens.reader(folder / "corpus", {}).end)
    with tempfile.TemporaryDirectory() as out:
        straight_models.train(untrained, settings, blocks, Path(out), steps=steps, callbacks=[Watch()])
    span = clock.span
    return {"rate": span.tokens / (span.end - span.start)}


def sample_theirs(folder: Path, *, texts: int, batches: Sequence[int], keep: bool = False) -> dict[str, float]:
    """Sample by `generate`, at each batch size in turn; keep: hold memory as our workers do."""
    import straight_models

    from natfp_bench.pipeline import allocator

    if keep:
        allocator.keep()
    spec, _, end, _ = _begun(folder)
    trained, rates = _model(folder, 0), {}
    for batch in batches:
        straight_models.generate(trained, batch, max_tokens=8, end=end, batch=batch)
        start = time.monotonic()
        drawn = straight_models.generate(trained, max(texts, batch), max_tokens=spec.max_tokens, end=end, batch=batch)
        rates[str(batch)] = sum(map(len, drawn)) / (time.monotonic() - start)
    return rates


def score_theirs(folder: Path, *, models: int, batches: Sequence[int], share: int = 1) -> dict[str, float]:
    """Score texts (one in `share`) under some models by plain forward passes, at each batch size in turn."""
    import straight_models

    _, _, end, _ = _begun(folder)
    ids, trained, rates = _texts(folder).ids[::share], [_model(folder, index) for index in range(models)], {}
    for batch in batches:
        straight_models.score(trained[0], ids[: 2 * batch], end=end, batch=batch)
        start = time.monotonic()
        for one in trained:
            straight_models.score(one, ids, end=end, batch=batch)
        rates[str(batch)] = len(trained) * sum(map(len, ids)) / (time.monotonic() - start)
    return rates


def fit_theirs(folder: Path, *, texts: int, batch: int) -> dict[str, float]:
    """Tune a model on texts and score them, by a plain loop; batch: of the scoring."""
    import straight_models

    _, _, end, _ = _begun(folder)
    ids, model = _texts(folder).ids[:texts], _model(folder, 0)

    def work(part: Sequence[Sequence[int]]) -> None:
        straight_models.tune(model.train(), part, end=end, batch=BATCH, rate=RATE)
        straight_models.score(model.eval(), part, end=end, batch=batch)

    work(ids[: 4 * BATCH])
    start = time.monotonic()
    work(ids)
    return {"rate": (len(ids) + sum(map(len, ids))) / (time.monotonic() - start)}


# Needed by both.


def peak(_: Path, *, seconds: float) -> dict[str, float]:
    """Measure products of 1024 x 1024 matrices on one thread: operations per second, at best."""
    import torch

    torch.set_num_threads(1)
    size, best, until = 1024, 0.0, time.monotonic() + seconds
    a, b = torch.randn(size, size), torch.randn(size, size)
    while time.monotonic() < until:
        start = time.perf_counter()
        a @ b
        best = max(best, 2 * size**3 / (time.perf_counter() - start))
    return {"rate": best}


def model_facts(folder: Path) -> dict[str, float]:
    """Parameters of the model, and operations to train it on one token: 6 per parameter, plus attention."""
    parameters = sum(parameter.numel() for parameter in _model(folder, 0).parameters())
    spec = _settings(0).model
    operations = 6 * parameters + 12 * spec.layers * spec.context * spec.width
    return {"parameters": parameters, "operations": operations, "budget": _settings(0).budget.tokens}


def _variant(index: int, folder: Path, *, steps: int, texts: int) -> None:
    import torch

    from natfp_bench.models import sample, train

    _one_thread()
    settings, out = _settings(index), folder / f"model-{index}"
    out.mkdir()
    # A complete schedule with at least the warm-up gives a model that writes like a trained one.
    settings = _with_budget(settings, tokens=steps * _step_tokens(settings))
    job = train.TrainingJob(settings, 0, folder / "corpus", out, folder / f"part-{index}")
    train.train(job, torch.device("cpu"))
    spec, tokenizer, end, prompts = _begun(folder)
    trained = _model(folder, index)
    parts = [
        sample.sample_rows(
            trained, spec, range(start, min(start + spec.block, texts)), prompts, tokenizer, end, 0, "text", index
        )
        for start in range(0, texts, spec.block)
    ]
    sample.SampleSet.join(parts).write(folder / f"texts-{index}.parquet")


def prepare(folder: Path, *, processes: int, steps: int, texts: int) -> dict[str, float]:
    """Prepare the corpus, four trained models, and texts of each."""
    import straight_models

    start = time.monotonic()
    (folder / "corpus").mkdir(parents=True)
    straight_models.prepare(_settings(0), folder / "corpus")
    with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
        list(pool.map(partial(_variant, folder=folder, steps=steps, texts=texts), range(4)))
    return {"seconds": time.monotonic() - start}


WORKLOADS: dict[str, Callable[..., dict[str, float]]] = {
    work.__name__: work
    for work in (
        *(train_ours, sample_ours, score_ours, fit_ours),
        *(train_theirs, sample_theirs, score_theirs, fit_theirs),
        *(peak, model_facts, prepare),
    )
}

if __name__ == "__main__":
    _, name, where, options = sys.argv
    print(json.dumps(WORKLOADS[name](Path(where), **json.loads(options))))
