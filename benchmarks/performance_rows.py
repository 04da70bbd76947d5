"""The rows of `performance.py`: what is measured against what, and what it has to come to."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from performance_ground import (
    ROOT,
    Bar,
    Ground,
    Part,
    Row,
    alternate,
    best,
    peak_memory,
    processor_seconds,
    timed,
    write_text,
)

if TYPE_CHECKING:
    from collections.abc import Mapping


IMPORTS = """\
import typer
from rich.console import Console
from rich.table import Table
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from ruamel.yaml import YAML
"""


def train(ground: Ground) -> Part:
    """Training, all cores: ours one model a core, plain and compiled, theirs one model on all."""
    sizes, how = ground.sizes, {"steps": ground.sizes.steps, "warm": ground.sizes.warm}
    fused: list[float] = []

    def plain() -> float:
        fused.append(ground.work("train_ours", processes=ground.cores, compiled=True, **how)["rate"])
        return ground.work("train_ours", processes=ground.cores, **how)["rate"]

    ours, theirs = alternate(plain, lambda: ground.work("train_theirs", **how)["rate"], sizes.repeats)
    best_of = statistics.median(fused)
    facts, peak = ground.work("model_facts"), ground.work("peak", seconds=2.0)["rate"]
    share = facts["operations"] * best_of / (peak * ground.cores)
    against = f"{rate(theirs)} (`Trainer`)"
    rows = [
        Row("training, `numerics.compile=true`, tokens/s", rate(best_of), against, best_of / theirs, Bar(1.5)),
        Row("training, plain, tokens/s", rate(ours), against, ours / theirs),
    ]
    note = (
        f"A model of {facts['parameters']:,.0f} parameters takes {facts['operations'] / 1e6:.2f} million operations a "
        f"token (6 a parameter, and attention's), so that compiled training reaches {share:.0%} of the "
        f"{ground.cores} × {peak / 1e9:.0f} GFLOP/s that products of 1024 × 1024 matrices reach in float32."
    )
    return Part(rows, [note])


def sample(ground: Ground) -> Part:
    """Sampling, all cores."""
    sizes, batch = ground.sizes, best(ground.generate_rates)
    kept: list[float] = []

    def theirs() -> float:
        kept.append(ground.searched("sample_theirs", [batch], texts=sizes.drawn, keep=True)[batch])
        return ground.searched("sample_theirs", [batch], texts=sizes.drawn)[batch]

    ours, plain = alternate(
        lambda: ground.work("sample_ours", processes=ground.cores, blocks=sizes.blocks)["rate"], theirs, sizes.repeats
    )
    alone = statistics.median(kept)
    rows = [
        Row("sampling, tokens/s", rate(ours), f"{rate(plain)} (`generate`)", ours / plain, Bar(3)),
        Row("the same", rate(ours), f"{rate(alone)} (`generate`, memory held as our workers do)", ours / alone),
    ]
    return Part(rows, [f"`generate`, tokens/s by batch size: {table_of(ground.generate_rates)}."])


def score(ground: Ground) -> Part:
    """Likelihood of texts, all cores."""
    batch, models = best(ground.forward_rates), 2
    ours, theirs = alternate(
        lambda: ground.work("score_ours", processes=ground.cores)["rate"],
        lambda: ground.searched("score_theirs", [batch], models=models)[batch],
        ground.sizes.repeats,
    )
    row = Row("likelihood of texts, tokens/s", rate(ours), f"{rate(theirs)} (plain forward)", ours / theirs, Bar(1.5))
    return Part([row], [f"Plain forward passes, tokens/s by batch size: {table_of(ground.forward_rates)}."])


def run(ground: Ground) -> Part:
    """The whole task from an empty store, once each."""
    seconds, accuracy = ground.first_run
    command = [str(ROOT / "benchmarks" / "straight.py"), "--preset", ground.sizes.preset]
    if "generate_rates" in ground.__dict__:
        command += ["--batch", str(best(ground.generate_rates))]
    if "forward_rates" in ground.__dict__:
        command += ["--score-batch", str(best(ground.forward_rates))]
    said, theirs = timed(command, ground.folder)
    found = json.loads(said.splitlines()[-1])
    row = Row(
        "`run --task seed_id`", f"{seconds:.0f} s", f"{theirs:.0f} s (straight script)", theirs / seconds, Bar(1.5)
    )
    figures = [f"{name} {accuracy[name]:.3f} and {value:.3f}" for name, value in sorted(found["accuracy"].items())]
    stages = ", ".join(f"{stage} {took:g}" for stage, took in found["seconds"].items())
    return Part(
        [row], [f"Accuracies, ours and theirs: {'; '.join(figures)}. Seconds of the straight script: {stages}."]
    )


def again(ground: Ground) -> Part:
    """The same run, with all its work in the store."""
    first, _ = ground.first_run
    second, _ = ground.run(ground.folder / "second")
    return Part([Row("the same run again", f"{second:.1f} s", f"{first:.0f} s (first run)", first / second, Bar(30))])


def start(ground: Ground) -> Part:
    """Processor time of the commands that only say something."""
    rows, times = [], range(ground.sizes.starts)
    for arguments in (["--help"], ["list"]):
        pairs = [
            (processor_seconds(["-m", "natfp_bench", *arguments]), processor_seconds(["-c", IMPORTS])) for _ in times
        ]
        ours, theirs = (min(column) for column in zip(*pairs, strict=True))
        what = f"`natfp-bench {arguments[0]}`, processor time"
        against = f"{theirs:.2f} s (imports alone)"
        rows.append(Row(what, f"{ours:.2f} s", against, ours / theirs, Bar(2, "under")))
    return Part(rows)


def memory(ground: Ground) -> Part:
    """Peak memory of a run on a large file and on a small one."""
    peaks = []
    for size in ground.sizes.files:
        path = ground.folder / f"{size}.txt"
        write_text(path, size)
        command = ["-m", "natfp_bench", "run", "--task", "seed_id", "--preset", "smoke", "--baseline", "naive_bayes"]
        command += ["--corpus", f"text:{path}", "--device", "cpu", "--set", "analysis.transfer=false"]
        command += ["--store", str(ground.folder / f"store-{size}"), "-o", str(ground.folder / f"out-{size}")]
        peaks.append(peak_memory(command, ground.folder))
        path.unlink()
    small, large = peaks
    names = [f"{size / 1e6:,.0f} MB" for size in ground.sizes.files]
    ours, against = f"{large:.0f} MB (file of {names[1]})", f"{small:.0f} MB (file of {names[0]})"
    return Part([Row("peak memory, more for a large file", ours, against, large - small, Bar(200, "under", " MB"))])


def more(ground: Ground) -> Part:
    """What compiling and stacking give, for information."""
    sizes = ground.sizes
    how = {"processes": 1, "steps": sizes.steps, "warm": sizes.warm}
    few = {"processes": 1, "steps": max(12, sizes.steps // 8), "warm": max(4, sizes.warm // 8)}
    seconds: list[float] = []

    def compiled() -> float:
        found = ground.work("train_ours", compiled=True, **how)
        seconds.append(found["first"])
        return found["rate"]

    fused, plain = alternate(compiled, lambda: ground.work("train_ours", **how)["rate"], sizes.repeats)
    stacked, single = alternate(
        lambda: ground.work("train_ours", stack=8, **few)["rate"],
        lambda: ground.work("train_ours", **how)["rate"],
        sizes.repeats,
    )
    rows = [
        Row("`numerics.compile=true`, one thread, tokens/s", rate(fused), f"{rate(plain)} (plain)", fused / plain),
        Row(
            "`numerics.stack=8`, one thread, tokens/s", rate(stacked), f"{rate(single)} (one by one)", stacked / single
        ),
    ]
    notes = [f"The first compiled step takes {statistics.median(seconds):.1f} s, and that is in no rate here."]
    if not torch.cuda.is_available():
        return Part(rows, [*notes, "No GPU was there, so that nothing is said of one."])
    gpu = {**few, "device": "cuda"}
    stacked, single = alternate(
        lambda: ground.work("train_ours", stack=sizes.stacked, **gpu)["rate"],
        lambda: ground.work("train_ours", **gpu)["rate"],
        sizes.repeats,
    )
    what, against = f"{sizes.stacked} models stacked on a GPU, tokens/s", f"{rate(single)} (in turn)"
    rows.append(Row(what, rate(stacked), against, stacked / single))
    drawn = {"processes": 1, "blocks": sizes.blocks, "device": "cuda"}
    fused, plain = alternate(
        lambda: ground.work("sample_ours", fused=True, **drawn)["rate"],
        lambda: ground.work("sample_ours", **drawn)["rate"],
        sizes.repeats,
    )
    what = "sampling on a GPU, `numerics.compile=true`, tokens/s"
    rows.append(Row(what, rate(fused), f"{rate(plain)} (plain)", fused / plain))
    together, alone = (3600 * one / ground.work("model_facts")["budget"] for one in (stacked, single))
    name = torch.cuda.get_device_name()
    notes.append(f"On the GPU ({name}) that makes {together:,.0f} models an hour; in turn, {alone:,.0f}.")
    return Part(rows, notes)


def rate(value: float) -> str:
    """Tokens a second."""
    return f"{value:,.0f}"


def table_of(rates: Mapping[int, float]) -> str:
    """Rates by batch size, in words."""
    return ", ".join(f"{batch}: {rate(value)}" for batch, value in rates.items())


ROWS: dict[str, Callable[[Ground], Part]] = {
    part.__name__: part for part in (train, sample, score, run, again, start, memory, more)
}

BOUNDS = {
    "train": (
        "ours trains one model a core, each on one thread, as the workers of a run do; `Trainer` trains one on all. A "
        "third of a plain step's time goes to products of matrices, a seventh to calls from Python, and the rest to "
        "the passes over memory between them, which two threads share out nearly as well as two processes: so a plain "
        "step wins what its cross-entropy, its optimiser and memory that is kept save, and fused kernels win the rest. "
        "Compiling takes longer than it saves in a run of a minute, so that `quick` trains plainly, and `standard` and "
        "`paper` with fused kernels. Both are timed from a warm step to the last, and ours writes checkpoints."
    ),
    "sample": (
        "one process a core samples blocks of 500 rows; bounded by the calls of each step, by keys and values that are "
        "read, and by `generate`'s checks and copies, which ours does without. Tokens count up to the end token, that "
        "included."
    ),
    "score": (
        "bounded by products of matrices and by the softmax over the vocabulary; texts of like length go together, and "
        "one thread each spares waiting. Texts are sampled ones, a quarter of each of four models."
    ),
    "run": (
        "once each, by the wall clock, start-up included; bounded by training. Both train the same models on the same "
        "blocks in the same order, measure them on held-out text, draw texts in the usual way, at other temperatures "
        "and behind prompts, and put the same classifiers to the same studies; texts are other draws: accuracies agree "
        "within noise. Only ours says where the evidence lies, checks itself, and writes it all down."
    ),
    "again": "nothing is left to train, sample or fit: bounded by imports and by reading the store's entries.",
    "start": (
        "user and system time, the least of all tries; against a Python that imports what the command line is built "
        "of: typer, rich, pydantic and ruamel.yaml, by the names that are used. (pydantic loads its parts when they "
        "are asked for: a bare `import pydantic` loads next to nothing, and would be no measure.)"
    ),
    "memory": (
        "the whole family of processes of a run at the preset `smoke`, looked at every 50 ms. A file is read as a "
        "stream, and only as far as the token budget asks; its digest is taken in pieces."
    ),
    "more": (
        "what two settings give on this CPU, without a bar: fused kernels, and eight models that train as one. Stacks "
        "are meant for a GPU, where small models wait for kernels."
    ),
}
