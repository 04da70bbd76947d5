"""The rows of `performance.py`: what is compared with what, and the bars."""

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
    """Training on all cores: ours one model per core, plain and compiled; theirs one model on all."""
    sizes, how = ground.sizes, {"steps": ground.sizes.steps, "warm": ground.sizes.warm}
    compiled: list[float] = []

    def plain() -> float:
        if sizes.thorough:
            compiled.append(ground.work("train_ours", processes=ground.cores, compiled=True, **how)["rate"])
        return ground.work("train_ours", processes=ground.cores, **how)["rate"]

    ours, theirs = alternate(plain, lambda: ground.work("train_theirs", **how)["rate"], sizes.repeats)
    against = f"{rate(theirs)} (`Trainer`)"
    rows = [Row("training, plain, tokens/s", rate(ours), against, ours / theirs, Bar(2.2))]
    if not sizes.thorough:
        return Part(rows)
    best_of = statistics.median(compiled)
    what = "training, `numerics.compile=true`, tokens/s"
    rows.append(Row(what, rate(best_of), against, best_of / theirs, Bar(3)))
    facts, peak = ground.work("model_facts"), ground.work("peak", seconds=2.0)["rate"]
    share = facts["operations"] / (peak * ground.cores)
    note = (
        f"A model of {facts['parameters']:,.0f} parameters takes {facts['operations'] / 1e6:.2f} million operations "
        f"per token (6 per parameter, plus attention), so training reaches {share * ours:.0%}, and with fused kernels "
        f"{share * best_of:.0%}, of the {ground.cores} × {peak / 1e9:.0f} GFLOP/s that products of 1024 × 1024 "
        "matrices reach in float32."
    )
    return Part(rows, [note])


def sample(ground: Ground) -> Part:
    """Sampling on all cores."""
    sizes, batch = ground.sizes, best(ground.generate_rates)
    kept: list[float] = []

    def theirs() -> float:
        if sizes.thorough:
            kept.append(ground.searched("sample_theirs", [batch], texts=sizes.drawn, keep=True)[batch])
        return ground.searched("sample_theirs", [batch], texts=sizes.drawn)[batch]

    ours, plain = alternate(
        lambda: ground.work("sample_ours", processes=ground.cores, blocks=sizes.blocks)["rate"], theirs, sizes.repeats
    )
    rows = [Row("sampling, tokens/s", rate(ours), f"{rate(plain)} (`generate`)", ours / plain, Bar(4))]
    if not sizes.thorough:
        return Part(rows)
    alone = statistics.median(kept)
    against = f"{rate(alone)} (`generate`, holding memory like our workers)"
    rows.append(Row("the same", rate(ours), against, ours / alone))
    return Part(rows, [f"`generate`, tokens/s by batch size: {table_of(ground.generate_rates)}."])


def score(ground: Ground) -> Part:
    """Likelihood of texts on all cores."""
    batch, models = best(ground.forward_rates), 2
    ours, theirs = alternate(
        lambda: ground.work("score_ours", processes=ground.cores)["rate"],
        lambda: ground.searched("score_theirs", [batch], models=models)[batch],
        ground.sizes.repeats,
    )
    row = Row("likelihood of texts, tokens/s", rate(ours), f"{rate(theirs)} (plain forward)", ours / theirs, Bar(2))
    return Part([row], [f"Plain forward passes, tokens/s by batch size: {table_of(ground.forward_rates)}."])


def fit(ground: Ground) -> Part:
    """Tuning and scoring of language models by attributors, on all cores."""
    batch, texts = best(ground.forward_rates), ground.sizes.tuned
    ours, theirs = alternate(
        lambda: ground.work("fit_ours", processes=ground.cores, texts=texts)["rate"],
        lambda: ground.work("fit_theirs", texts=texts, batch=batch)["rate"],
        ground.sizes.repeats,
    )
    what = "an attributor's language models, tuned and scored, tokens/s"
    return Part([Row(what, rate(ours), f"{rate(theirs)} (plain loop)", ours / theirs, Bar(1.5))])


def run(ground: Ground) -> Part:
    """The whole task from an empty store, once for each side."""
    seconds, accuracy = ground.first_run
    command = [str(ROOT / "benchmarks" / "straight.py"), "--preset", ground.sizes.preset]
    if "generate_rates" in ground.__dict__:
        command += ["--batch", str(best(ground.generate_rates))]
    if "forward_rates" in ground.__dict__:
        command += ["--score-batch", str(best(ground.forward_rates))]
    said, theirs = timed(command, ground.folder)
    found = json.loads(said.splitlines()[-1])
    row = Row(
        "`run --task seed_id`", f"{seconds:.0f} s", f"{theirs:.0f} s (straight script)", theirs / seconds, Bar(2.2)
    )
    figures = [f"{name} {accuracy[name]:.3f} and {value:.3f}" for name, value in sorted(found["accuracy"].items())]
    stages = ", ".join(f"{stage} {took:g}" for stage, took in found["seconds"].items())
    return Part(
        [row], [f"Accuracies, ours and theirs: {'; '.join(figures)}. Seconds of the straight script: {stages}."]
    )


def again(ground: Ground) -> Part:
    """The same run again, when the store holds all its work."""
    first, _ = ground.first_run
    second, _ = ground.run(ground.folder / "second")
    return Part([Row("the same run again", f"{second:.1f} s", f"{first:.0f} s (first run)", first / second, Bar(30))])


def replicates(ground: Ground) -> Part:
    """Five replicates of a factor task against three: what the further two take, when the store holds the others."""
    options = ("--task", "lr_id", "--baseline", "naive_bayes", "--set")
    three, more = (
        ground.command("run", *options, f"replicates={n}", "-o", str(ground.folder / f"of-{n}"), store="replicates")
        for n in (3, 5)
    )
    what, bar = "five replicates of `lr_id`, the last two after the others", Bar(1.5, "under")
    row = Row(what, f"{three + more:.0f} s", f"{three:.0f} s (three replicates)", (three + more) / three, bar)
    return Part([row])


def site(ground: Ground) -> Part:
    """A site of all results that are kept with the package."""
    places = kept_results()
    seconds = ground.command("report", *places, "-o", str(ground.folder / "site"))
    row = Row("a site of results", f"{seconds:.1f} s", f"{len(places)} results", seconds, Bar(20, "under", " s"))
    return Part([row])


def kept_results() -> list[str]:
    """Paths of all results that are kept with the package."""
    return [str(path) for path in sorted((ROOT / "docs" / "results").rglob("result.json.gz"))]


def growth(ground: Ground) -> Part:
    """How the time of a run grows with each of its sizes, and that of a site with its results."""
    base = {"variants": 2, "tokens": 256_000, "texts": 500, "attributors": 1}

    def ran(**sizes: int) -> float:
        size, tasks = {**base, **sizes}, ground.folder / "tasks"
        named, task = "-".join(map(str, size.values())), f"seeds{size['variants']}_id"
        tasks.mkdir(exist_ok=True)
        levels = ", ".join(f"s{i}: {i}" for i in range(size["variants"]))
        (tasks / f"{task}.yaml").write_text(GROWN.format(task=task, levels=f"{{{levels}}}"))
        options = ["--task", task, "--include-path", str(tasks), "--baseline", ",".join(GROWING[: size["attributors"]])]
        options += ["--set", f"budget.tokens={size['tokens']}", "--set", f"sampling.texts={size['texts']}"]
        return ground.command("run", *options, "-o", str(ground.folder / named), store=f"store-{named}")

    def reported(results: int) -> float:
        return ground.command("report", *kept_results()[:results], "-o", str(ground.folder / f"site-{results}"))

    times, table = ground.sizes.times, []
    first = ran()
    for what, size in base.items():
        seconds = [first if n == 1 else ran(**{what: n * size}) for n in times]
        table.append(
            [f"`run`: {what}, from {size:,} on", f"{first:.0f} s", *(f"{one / first:.1f}×" for one in seconds)]
        )
    seconds = [reported(10 * n) for n in times]
    table.append(
        ["`report`: results, from 10 on", f"{seconds[0]:.0f} s", *(f"{one / seconds[0]:.1f}×" for one in seconds)]
    )
    return Part([], growth=table)


GROWING = ("naive_bayes", "unigram", "char_ngram", "word_ngram", "ngram_lm", "stylometry", "majority", "mixture_lm")
"""Attributors, of which the first ones are fitted."""

GROWN = """\
task: {task}
version: 1
summary: Which seeds trained the model?
factor:
  name: random seeds
  fields: [seeds.init, seeds.data_order, seeds.dropout]
  levels: {levels}
replicates: 1
"""


def start(ground: Ground) -> Part:
    """Processor time of commands that only print."""
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
    return Part(
        [Row("increase of peak memory for a large file", ours, against, large - small, Bar(200, "under", " MB"))]
    )


def fused(ground: Ground) -> Part:
    """What fused kernels gain on one thread and, if there is one, on a GPU; for information."""
    sizes = ground.sizes
    how = {"processes": 1, "steps": sizes.steps, "warm": sizes.warm}
    seconds: list[float] = []

    def compiled() -> float:
        found = ground.work("train_ours", compiled=True, **how)
        seconds.append(found["first"])
        return found["rate"]

    ours, plain = alternate(compiled, lambda: ground.work("train_ours", **how)["rate"], sizes.repeats)
    rows = [Row("`numerics.compile=true`, one thread, tokens/s", rate(ours), f"{rate(plain)} (plain)", ours / plain)]
    notes = [f"The first compiled step takes {statistics.median(seconds):.1f} s, which no rate includes."]
    if not torch.cuda.is_available():
        return Part(rows, [*notes, "There was no GPU: what is made for one was not run."])
    drawn = {"processes": 1, "blocks": sizes.blocks, "device": "cuda"}
    ours, plain = alternate(
        lambda: ground.work("sample_ours", prefix="fused", **drawn)["rate"],
        lambda: ground.work("sample_ours", **drawn)["rate"],
        sizes.repeats,
    )
    what = "sampling on a GPU, `numerics.compile=true`, tokens/s"
    rows.append(Row(what, rate(ours), f"{rate(plain)} (plain)", ours / plain))
    hourly = 3600 * ground.work("train_ours", device="cuda", **how)["rate"] / ground.work("model_facts")["budget"]
    return Part(rows, [*notes, f"The GPU ({torch.cuda.get_device_name()}) trains {hourly:,.0f} models per hour."])


def rate(value: float) -> str:
    """Write a rate, in tokens per second."""
    return f"{value:,.0f}"


def table_of(rates: Mapping[int, float]) -> str:
    """Write rates by batch size."""
    return ", ".join(f"{batch}: {rate(value)}" for batch, value in rates.items())


ROWS: dict[str, Callable[[Ground], Part]] = {
    part.__name__: part
    for part in (train, sample, score, fit, run, again, replicates, site, start, memory, fused, growth)
}

GUARDED = ("train", "sample", "score", "start")
"""Rows that are short enough to be measured with every change."""

LIMITS = {
    "train": (
        "Ours trains one model per core, each on one thread, like the workers of a run; `Trainer` trains one model on "
        "all cores. Both are timed from a warm step to the last; ours also writes checkpoints. In a profile of a plain "
        "step, matrix products take half of the time, at four fifths of the rate that large products reach, and "
        "attention takes an eighth: these two alone bound what is left to gain. Tried and not kept: wider products, "
        "and norms, rotation and gate as functions of their own, which took 8% less time and changed the last digits; "
        "the same functions with the same digits, 4%; several small models trained as one, which was no faster. "
        "Compiling takes longer than it saves in a run of a minute, so `quick` trains plainly, and `standard` and "
        "`paper` use fused kernels."
    ),
    "sample": (
        "One process per core samples blocks of 500 rows, by a decoder for narrow models, which reads half of a block "
        "at a time. In a profile, matrix products take a third of the time, and a third goes to attention, which reads "
        "all keys and values again for each token. The gain is gone at a width of 256. Tokens are counted up to the "
        "end token, which is included."
    ),
    "score": (
        "The limits are matrix products, which take half of the time, attention, and the softmax over the vocabulary. "
        "Ours scores texts of similar length together, and one thread per process avoids waiting. The texts are "
        "sampled, a quarter from each of four models. Tried and not kept: wider products, 5 to 10%."
    ),
    "fit": (
        "Each token is trained on once and scored once. Fits of a run are in one process per core, on one thread each; "
        "the plain loop uses all cores. Ours puts texts of similar length into a batch and needs no mask. Both call "
        "the model of transformers, and in a profile of a step, matrix products take half of the time, attention a "
        "sixth, the loss a twelfth and the optimiser a fifteenth, which are the same for both. Tried and not kept: a "
        "fused optimiser, 2%; memory that is kept between steps, nothing."
    ),
    "run": (
        "Each runs once, by the wall clock, with start-up. Training takes three quarters of the time of all "
        "processes, so the limit is that of `train`. All cores are busy for nine tenths of the time; the rest is "
        "start-up, and the corpus, which one process prepares. Both train the same models on the same blocks in the "
        "same order, measure them on held-out text, draw texts in the usual way, at other temperatures and after "
        "prompts, and do the same studies with the same classifiers. Their texts are different draws, so accuracies "
        "agree within noise. Only ours finds the tokens that carry the evidence, checks itself, and records "
        "everything."
    ),
    "again": "Nothing is left to train, sample or fit. The limits are imports and reading the entries of the store.",
    "replicates": (
        "Models are trained one by one, so five replicates take five thirds of the training of three, and of the texts "
        "and scores. What compares all models is done again: the row is an upper limit for five replicates at once. "
        "Studies fit the reference attributor some hundred times; less than a seventh of these fits are repetitions."
    ),
    "site": "The limits are figures and tables of the pages of tasks, which are made by one process per core.",
    "start": (
        "User and system time, the minimum of all tries. The comparison is a Python that imports what the command "
        "line is built on, by the names that it uses: typer, rich, pydantic and ruamel.yaml. (pydantic loads its "
        "parts on demand, so a bare `import pydantic` loads almost nothing.) `list` reads every task file by a parser "
        "that knows the line of each value for messages; this takes half of its time, and grows with the tasks."
    ),
    "memory": (
        "Memory of all processes of a run at the preset `smoke`, read every 50 ms. A file is read as a stream, and "
        "only as far as the token budget needs; its digest is computed in pieces."
    ),
    "fused": "What fused kernels gain, without a bar.",
    "growth": (f"Each command once, with start-up. Attributors are counted in this order: {', '.join(GROWING)}."),
}
