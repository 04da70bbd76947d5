"""Do the statistics say what is true? Planted sources, coverage of intervals, size of tests.

python benchmarks/validity.py [--quick] [-o docs/validity.md] [--data natfp_bench/report/simulations.json]

Exit code 1 if a row does not hold. `--quick` runs fewer experiments, prints its table, and writes only what -o and
--data name. The data are what reports show of it.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
from scipy.special import ndtri
from scipy.stats import binom
from sklearn.naive_bayes import MultinomialNB

from natfp_bench.attributors import attribute, registry
from natfp_bench.base import streams
from natfp_bench.statistics import ceiling, metrics, replication
from natfp_bench.statistics.metrics import Floats, Interval, Ints

ROOT = Path(__file__).parents[1]
DOCUMENT, DATA = ROOT / "docs" / "validity.md", ROOT / "natfp_bench" / "report" / "simulations.json"
WORDS = np.array(["ka", "lomi", "tu"])
LENGTH, LENGTHS = 8, (2, 4, 8, 12)
TOLERANCE = {2: 0.1, 4: 0.03, 8: 0.03, 12: 0.03}
"""Of predicted accuracies: from texts of eight words, two are far, for the first word has a distribution of its own."""


@dataclass(frozen=True)
class Amount:
    """How much is simulated."""

    texts: int  # of each planted source
    draws: int  # of training and test texts for the attributors
    experiments: int  # for a coverage
    nulls: int  # for the size of a test


FULL, QUICK = Amount(4000, 10, 2000, 200), Amount(1000, 2, 200, 40)


@dataclass(frozen=True)
class Row:
    """One line of the document."""

    what: str
    expected: str
    seen: str
    band: str
    holds: bool


@dataclass(frozen=True)
class Chains:
    """V sources of text: Markov chains over three words. start (V, 3), step (V, 3, 3), classes (V,)."""

    start: Floats
    step: Floats
    classes: Ints

    def sample(self, texts: int, length: int, *name: str | int) -> tuple[Ints, Ints]:
        """Draw texts from each source: words (V * texts, length) and the source of each text."""
        source = np.repeat(np.arange(len(self.start)), texts)
        uniforms = streams.uniforms([0], len(source) * length, "validity", "texts", *name).reshape(length, -1, 1)
        words = np.zeros((len(source), length), dtype=np.int64)
        for place, drawn in enumerate(uniforms):
            known = self.step[source, words[:, place - 1]] if place else self.start[source]
            words[:, place] = (drawn >= known.cumsum(1)[:, :-1]).sum(1)
        return words, source

    def log_likelihood(self, words: Ints) -> Floats:
        """Log-probability of each text (n, length) under each source, (n, V) nats."""
        steps = np.log(self.step)[:, words[:, :-1], words[:, 1:]].sum(2)
        return np.asarray((np.log(self.start)[:, words[:, 0]] + steps).T)

    def truth(self, length: int) -> tuple[float, float]:
        """Bayes accuracy and mutual information in bits, by enumeration of all texts of a length."""
        every = np.array([*itertools.product(range(len(WORDS)), repeat=length)])
        probability = np.exp(self.log_likelihood(every))
        k = int(self.classes.max()) + 1
        joint = np.stack([probability[:, self.classes == c].mean(1) for c in range(k)]) / k
        information = joint * np.log2(joint / (joint.sum(0) / k))
        return float(joint.max(0).sum()), float(information.sum())

    def mean_kl(self, length: int) -> Floats:
        """Mean KL per word in bits, (V, V), by the chain rule over the places of a text."""
        apart = (self.step[:, None] * np.log2(self.step[:, None] / self.step)).sum(-1)
        total = (self.start[:, None] * np.log2(self.start[:, None] / self.start)).sum(-1)
        word = self.start
        for _ in range(length - 1):
            total = total + (word[:, None] * apart).sum(-1)
            word = (word[:, :, None] * self.step).sum(1)
        return np.asarray(total / length)


def chains(classes: Sequence[int], markov: bool, apart: float, *name: str | int) -> Chains:
    """Draw sources that share a base and differ by the weight `apart`; without `markov` words are independent."""
    shape = (len(classes) + 1, 1 + len(WORDS), len(WORDS))
    drawn = -np.log1p(-streams.uniforms([0], math.prod(shape), "validity", "chains", *name).reshape(shape))
    rows = (drawn + 0.1) / (drawn + 0.1).sum(-1, keepdims=True)  # no word is all but impossible
    if not markov:
        rows[:, 1:] = rows[:, :1]
    rows = (1 - apart) * rows[0] + apart * rows[1:]
    return Chains(rows[:, 0], rows[:, 1:], np.array(classes))


CASES = {
    "3 unigram sources": chains([0, 1, 2], False, 0.3, "unigram"),
    "3 Markov sources": chains([0, 1, 2], True, 0.3, "markov"),
    "2 levels of 2 Markov sources": chains([0, 0, 1, 1], True, 0.4, "levels"),
}


# Planted sources: what is estimated from samples against what enumeration and closed forms say.


def planted(case: str, amount: Amount) -> Iterator[Row]:
    """Accuracy, information, divergence and predicted accuracy of the ceiling, from samples."""
    source = CASES[case]
    words, variant = source.sample(amount.texts, LENGTH, case)
    likelihood, truth = source.log_likelihood(words), source.classes[variant]
    lengths, prompts = np.full(len(words), LENGTH), np.arange(len(words))
    posterior = ceiling.posterior(likelihood, source.classes)
    accuracy, information = source.truth(LENGTH)
    credit = metrics.credits(posterior, truth)
    yield _within(f"{case}: Bayes accuracy", accuracy, float(credit.mean()), float(credit.std()) / len(truth) ** 0.5)
    found = ceiling.mutual_information(posterior, truth, prompts, 0)
    yield _within(f"{case}: mutual information (bits)", information, found.value, _width(found) / (2 * 1.96))

    exact = source.mean_kl(LENGTH)
    scores = [
        (cell.value - exact[i, j]) / cell.standard_error
        for i, row in enumerate(ceiling.mean_kl(likelihood, lengths, variant))
        for j, cell in enumerate(row)
        if i != j and cell.value is not None and cell.standard_error is not None
    ]
    worst = max(map(abs, scores))
    yield Row(
        f"{case}: mean KL per word, {len(scores)} ordered pairs",
        f"{exact.sum() / len(scores):.4f} bits on average",
        f"at most {worst:.1f} standard errors off",
        "4 standard errors",
        worst <= 4 and len(scores) == len(exact) * (len(exact) - 1),
    )

    predicted = ceiling.predicted_accuracy(likelihood, lengths, variant, source.classes, LENGTHS)
    off = [a - source.truth(n)[0] for n, a in zip(LENGTHS, predicted, strict=True)]
    what = f"accuracy predicted at {', '.join(map(str, LENGTHS))} words from texts of {LENGTH}"
    seen, band = f"{min(off):+.3f} to {max(off):+.3f} off", "0.03 either way"
    yield Row(f"{case}: {what}", "exact", seen, band, max(map(abs, off)) <= 0.03)
    by_length: dict[int, list[float]] = {n: [] for n in LENGTHS}
    for pair in itertools.combinations(range(len(source.classes)), 2):
        two, own = Chains(source.start[[*pair]], source.step[[*pair]], np.arange(2)), np.isin(variant, pair)
        which = (variant[own] == pair[1]).astype(np.int64)
        guess = ceiling.predicted_accuracy(likelihood[own][:, pair], lengths[own], which, two.classes, LENGTHS)
        for n, a in zip(LENGTHS, guess, strict=True):
            by_length[n].append(a - two.truth(n)[0])
    for tolerance in sorted(set(TOLERANCE.values())):
        off = [value for n, values in by_length.items() for value in values if TOLERANCE[n] == tolerance]
        at = ", ".join(str(n) for n in LENGTHS if TOLERANCE[n] == tolerance)
        seen, band = f"{min(off):+.3f} to {max(off):+.3f} off", f"±{tolerance}: an approximation"
        yield Row(f"{case}: each pair's at {at} words", "exact", seen, band, max(map(abs, off)) <= tolerance)


def below_ceiling(case: str, amount: Amount) -> Iterator[Row]:
    """No bundled attributor is better than Bayes' rule with the true parameters."""
    source, texts = CASES[case], 300
    bayes, _ = source.truth(LENGTH)
    best: list[Floats] = []
    own: dict[str, list[Floats]] = {baseline.name: [] for baseline in registry.find("fast")}
    for draw in range(amount.draws):
        words, variant = source.sample(2 * texts, LENGTH, case, "attributors", draw)
        train = np.arange(len(words)) % (2 * texts) < texts
        written, label = [" ".join(WORDS[text]) for text in words], source.classes[variant]
        shown, asked = ([written[i] for i in np.flatnonzero(part)] for part in (train, ~train))
        labels, truth = [str(value) for value in label[train]], label[~train]
        best.append(metrics.credits(ceiling.posterior(source.log_likelihood(words[~train]), source.classes), truth))
        for baseline in registry.find("fast"):
            build = partial(registry.build, baseline)
            answer = attribute.attribute(build, draw, shown, labels, range(len(shown)), asked)
            own[baseline.name].append(metrics.credits(answer.proba, truth))
    ideal = np.concatenate(best)
    for name, parts in own.items():
        credit = np.concatenate(parts)
        p = metrics.paired_p(credit, ideal, np.arange(len(ideal)), 0)
        seen = f"{credit.mean():.4f}, p = {p:.2g} of being above"
        yield Row(f"{case}: accuracy of `{name}`", f"at most {bayes:.4f}", seen, "p > 0.001", p > 1e-3)


# Coverage: experiments whose truth is known, the share of intervals that hold it.

CONFIDENCE = np.array([0.45, 0.7, 0.95])
HITS = {
    "calibrated": np.array([[0.60, 0.85, 1.0], [0.30, 0.55, 0.90]]),
    "overconfident": np.array([[0.50, 0.55, 0.75], [0.30, 0.35, 0.55]]),
    "all but certain": np.array([[0.97, 0.97, 0.98], [0.95, 0.96, 0.97]]),
}
"""Chance of a hit by the prompt's difficulty (easy, hard) and the attributor's confidence; all are equally likely."""

SHAPES = ((40, 1), (40, 3), (200, 1), (200, 3))
"""Prompts and texts of a prompt: forty are about those of the smoke preset."""


def band(experiments: int) -> tuple[float, float]:
    """Coverages that do not significantly (at 99.9%) lie outside 0.93 to 0.97."""
    low, high = binom.ppf(0.0005, experiments, 0.93), binom.ppf(0.9995, experiments, 0.97)
    return float(low) / experiments, float(high) / experiments


def population(kind: str) -> dict[str, float]:
    """Expected accuracy, bits and macro F1 of an attributor among three classes, guesses and misses spread evenly."""
    hits = HITS[kind]
    gain, loss = (np.log2(0.999 * 3 * p + 0.001) for p in (CONFIDENCE, (1 - CONFIDENCE) / 2))
    accuracy = float(hits.mean())
    return {"accuracy": accuracy, "bits": float((hits * gain + (1 - hits) * loss).mean()), "macro_f1": accuracy}


def instance_coverage(kind: str, prompts: int, per_prompt: int, amount: Amount) -> Iterator[Row]:
    """Intervals of `metrics.score`, where the texts of a prompt share its difficulty."""
    known, n = population(kind), prompts * per_prompt
    prompt, truth = np.repeat(np.arange(prompts), per_prompt), np.arange(n) % 3
    held, wilson = dict.fromkeys(known, 0), dict.fromkeys(known, 0)
    for experiment in range(amount.experiments):
        name = ("validity", "coverage", kind, prompts, per_prompt)
        drawn = streams.uniforms([experiment], prompts + 3 * n, *name)[0]
        hard, (level, luck, side) = (drawn[:prompts] < 0.5)[prompt].astype(int), drawn[prompts:].reshape(3, n)
        sure = (level * 3).astype(int)
        guess = np.where(luck < HITS[kind][hard, sure], truth, (truth + 1 + (side < 0.5)) % 3)
        proba = np.repeat((1 - CONFIDENCE[sure])[:, None] / 2, 3, axis=1)
        proba[np.arange(n), guess] = CONFIDENCE[sure]
        score = metrics.score(proba, truth, prompt, experiment)
        for measure, value in known.items():
            held[measure] += _holds(score[measure], value)
            wilson[measure] += score[measure].method == "wilson"
    low, high = band(amount.experiments)
    texts = f"{prompts} prompts of {per_prompt} text{'s' * (per_prompt > 1)}"
    for measure, count in held.items():
        # Wilson's interval over prompts takes their texts for copies of each other: wide on purpose.
        widest = 1.0 if per_prompt > 1 and 2 * wilson[measure] > amount.experiments else high
        what = f"{measure}, {kind} attributor, {texts}"
        seen = count / amount.experiments
        yield Row(what, "0.95", f"{seen:.4f}", f"{low:.4f} to {widest:.4f}", low <= seen <= widest)


def factor_coverage(amount: Amount) -> Iterator[Row]:
    """Intervals over replicates whose true accuracies scatter about 0.6, 200 test texts each."""
    low, high = band(amount.experiments)

    def seen(replicates: int, interval: Callable[[Floats, int], Interval]) -> float:
        drawn = streams.uniforms(range(amount.experiments), 2 * replicates, "validity", "factor", replicates)
        accuracy = 0.6 + 0.08 * ndtri(drawn[:, :replicates])
        values = binom.ppf(drawn[:, replicates:], 200, accuracy) / 200
        return float(np.mean([_holds(interval(row, seed), 0.6) for seed, row in enumerate(values)]))

    for replicates in (3, 5, 10):
        share = seen(replicates, lambda values, _: replication.t_interval(values))
        what = f"accuracy on unseen replicates, Student's t over {replicates}"
        yield Row(what, "0.95", f"{share:.4f}", f"{low:.4f} to {high:.4f}", low <= share <= high)
    share = seen(3, lambda values, seed: metrics.mean_interval(values, np.arange(3), seed))
    what = "percentile bootstrap over 3 replicates (must fail)"
    yield Row(what, "too narrow", f"{share:.4f}", f"below {low:.4f}", share < low)


# Size: experiments in which there is nothing to find, the number of p-values below 0.05.


def attributor_size(amount: Amount) -> Iterator[Row]:
    """Exact binomial p of a bundled attributor on texts of three sources that are one."""
    one = chains([0], True, 0.0, "null")
    build = partial(registry.build, registry.find("unigram")[0])
    found = []
    for experiment in range(amount.nulls):
        words, _ = one.sample(180, LENGTH, "null", experiment)
        texts, truth = [" ".join(WORDS[text]) for text in words], np.arange(180) % 3
        labels = [str(label) for label in truth[:90]]
        answer = attribute.attribute(build, experiment, texts[:90], labels, range(90), texts[90:])
        hits = math.fsum(metrics.credits(answer.proba, truth[90:]))
        found.append(10 ** metrics.binomial_log10_p(hits, 90, 1 / 3))
    yield _size("exact binomial test of `unigram`, 90 texts", found)


def factor_size(amount: Amount) -> Iterator[Row]:
    """Tests over 3 levels x 3 replicates that differ from each other, though not by level."""
    levels, replicates = np.tile(np.arange(3), 3), np.repeat(np.arange(3), 3)
    texts, length = 60, 10
    by_accuracy: list[float] = []
    by_divergence: list[float] = []
    by_texts: list[float] = []
    for experiment in range(amount.nulls):
        source = chains(range(9), True, 0.3, "null factor", experiment)
        words, variant = source.sample(texts, length, "null factor", experiment)
        pairs = np.zeros((len(words), len(WORDS) ** 2))
        np.add.at(pairs, (np.arange(len(words))[:, None], words[:, :-1] * len(WORDS) + words[:, 1:]), 1)

        relabelled, total = replication.relabelings(levels, replicates, 99, experiment)
        hits, *permuted = (
            _unseen_hits(pairs, labels[variant], replicates[variant]) for labels in [levels, *relabelled]
        )
        by_accuracy.append(replication.permutation_test(hits, np.array(permuted), total).p)
        by_texts.append(10 ** metrics.binomial_log10_p(hits, len(words), 1 / 3))
        table = ceiling.mean_kl(source.log_likelihood(words), np.full(len(words), length), variant)
        divergence = np.array([[np.nan if cell.value is None else cell.value for cell in row] for row in table])
        tested = replication.permanova(divergence, levels, replicates, 99, experiment)
        by_divergence.append(math.nan if tested is None else tested.test.p)
    yield _size("permutation of levels within replicates, naive Bayes refitted each time", by_accuracy)
    yield _size("PERMANOVA of mean KL, levels permuted within replicates", by_divergence)
    count, most = sum(p < 0.05 for p in by_texts), int(binom.ppf(0.999, len(by_texts), 0.05))
    what = "binomial test with the texts of unseen replicates as units (must fail)"
    yield Row(what, "too many", f"{count} of {len(by_texts)}", f"above {most}", count > most)


def _unseen_hits(pairs: Floats, truth: Ints, replicate: Ints) -> float:
    """Hits of naive Bayes on pairs of words, each replicate guessed by one fitted on the others."""
    hits = 0
    for unseen in np.unique(replicate):
        test = replicate == unseen
        hits += int((MultinomialNB().fit(pairs[~test], truth[~test]).predict(pairs[test]) == truth[test]).sum())
    return float(hits)


def _size(what: str, p: Sequence[float]) -> Row:
    count, most = sum(value < 0.05 for value in p), int(binom.ppf(0.999, len(p), 0.05))
    valid = all(0 < value <= 1 for value in p)  # NaN is no p-value
    return Row(
        what, f"{0.05 * len(p):.0f} or fewer", f"{count} of {len(p)}", f"at most {most}", valid and count <= most
    )


def _within(what: str, expected: float, seen: float, error: float) -> Row:
    band = f"±{4 * error:.4f} (4 standard errors)"
    return Row(what, f"{expected:.4f}", f"{seen:.4f}", band, abs(seen - expected) <= 4 * error)


def _holds(interval: Interval, value: float) -> bool:
    return interval.low is not None and interval.high is not None and interval.low <= value <= interval.high


def _width(interval: Interval) -> float:
    return math.nan if interval.low is None or interval.high is None else interval.high - interval.low


# The document.

Part = Callable[[Amount], Iterator[Row]]

SECTIONS: dict[str, tuple[str, list[Part]]] = {
    "Planted sources": (
        "Texts of known Markov chains over three words. Bayes accuracy and mutual information come from enumerating "
        "all texts of eight words, the divergence from the chain rule; the estimates come from samples.",
        [partial(planted, case) for case in CASES],
    ),
    "No attributor beats the ceiling": (
        "Every fast bundled baseline, trained on texts of the same sources, against Bayes' rule on the same test "
        "texts: paired, one-sided, over all draws of training and test texts.",
        [partial(below_ceiling, case) for case in CASES],
    ),
    "Coverage of 95% intervals": (
        "The share of simulated experiments whose interval holds the truth. It must not lie significantly (99.9%, "
        "binomial) outside 0.93 to 0.97. Prompts differ in difficulty, which their texts share.",
        [
            *(partial(instance_coverage, kind, prompts, texts) for kind in HITS for prompts, texts in SHAPES),
            factor_coverage,
        ],
    ),
    "Size of tests": (
        "Experiments without anything to find: the number of p-values below 0.05 must not exceed its 99.9% quantile.",
        [attributor_size, factor_size],
    ),
}


def _rows(part: Part, amount: Amount) -> list[Row]:
    return [*part(amount)]


def run(amount: Amount, workers: int = 1) -> dict[str, list[Row]]:
    """Make all rows, by section; in several processes if asked to."""
    jobs = [(part, amount) for _, parts in SECTIONS.values() for part in parts]
    if workers > 1:
        with multiprocessing.get_context("spawn").Pool(workers) as pool:
            made = pool.starmap(_rows, jobs, chunksize=1)
    else:
        made = [_rows(*job) for job in jobs]
    remaining = iter(made)
    return {title: [row for _ in parts for row in next(remaining)] for title, (_, parts) in SECTIONS.items()}


def document(sections: dict[str, list[Row]], amount: Amount) -> str:
    """Markdown of all rows."""
    rows = [row for found in sections.values() for row in found]
    lines = [
        "# Validity",
        "",
        "Every statistic against a known truth. Made by `python benchmarks/validity.py`, which seeds all draws by "
        "name: it makes the same table again, and exits with 1 if a row does not hold.",
        "",
        f"{amount.texts} texts of each planted source, {amount.draws} draws for the attributors, "
        f"{amount.experiments} experiments for a coverage, {amount.nulls} for a size. "
        f"{sum(row.holds for row in rows)} of {len(rows)} rows hold.",
    ]
    for title, found in sections.items():
        lines += ["", f"## {title}", "", SECTIONS[title][0], "", "| what | expected | seen | band | holds |"]
        lines.append("|---|---|---|---|---|")
        for row in found:
            verdict = "yes" if row.holds else "**no**"
            lines.append(f"| {row.what} | {row.expected} | {row.seen} | {row.band} | {verdict} |")
    return "\n".join(lines) + "\n"


def data(sections: dict[str, list[Row]]) -> str:
    """JSON of all rows."""
    said = [
        {"title": title, "about": SECTIONS[title][0], "rows": [asdict(row) for row in rows]}
        for title, rows in sections.items()
    ]
    return json.dumps(said, indent=1, ensure_ascii=False) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run all checks; 1 if a row does not hold."""
    parser = argparse.ArgumentParser(description="Check every statistic against a known truth.")
    parser.add_argument("--quick", action="store_true", help="fewer experiments, one process")
    parser.add_argument("-o", "--output", type=Path, help="the document to write (docs/validity.md unless --quick)")
    parser.add_argument("--data", type=Path, help="its rows as JSON (simulations.json of the report unless --quick)")
    options = parser.parse_args(arguments)
    amount = QUICK if options.quick else FULL
    sections = run(amount, workers=1 if options.quick else os.cpu_count() or 1)
    text = document(sections, amount)
    print(text)
    for output, content, usual in ((options.output, text, DOCUMENT), (options.data, data(sections), DATA)):
        if path := output or (None if options.quick else usual):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content, encoding="utf-8")
    return 0 if all(row.holds for rows in sections.values() for row in rows) else 1


if __name__ == "__main__":
    raise SystemExit(main())
