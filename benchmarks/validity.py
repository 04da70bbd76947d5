"""Are the statistics right? Planted sources, coverage of intervals, size of tests.

python benchmarks/validity.py [--quick] [-o docs/validity.md] [--data natfp_bench/report/simulations.json]

Exit code 1 if a row does not hold. `--quick` runs fewer experiments, prints its table, and writes only the files that
-o and --data name. Reports show the data.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

import validity_crossed
import validity_descent
import validity_factors
from validity_experiments import HITS, SHAPES, attributor_size, divergence_size, instance_coverage
from validity_pool import MARGINS, REPLICATES, pool_coverage, pool_equivalence
from validity_sources import CASES, Amount, Row, below_ceiling, planted

ROOT = Path(__file__).parents[1]
DOCUMENT, DATA = ROOT / "docs" / "validity.md", ROOT / "natfp_bench" / "report" / "simulations.json"

FULL, QUICK = Amount(4000, 10, 2000, 1000, 200, 300), Amount(1000, 2, 200, 120, 40, 0)

POOL = "Real models of one recipe"

Part = Callable[[Amount], Iterator[Row]]

SECTIONS: dict[str, tuple[str, list[Part]]] = {
    "Planted sources": (
        "Texts of known Markov chains over three words. Enumerating all texts of eight words gives the true Bayes "
        "accuracy and mutual information, the chain rule gives the true divergence, and samples give the estimates.",
        [partial(planted, case) for case in CASES],
    ),
    "No attributor beats the ceiling": (
        "Each fast bundled baseline learns from texts of the same sources. It is compared with Bayes' rule on the same "
        "test texts, over all draws of training and test texts, by a paired one-sided test.",
        [partial(below_ceiling, case) for case in CASES],
    ),
    "Coverage of 95% intervals": (
        "The share of simulated experiments whose interval contains the truth. It must not be significantly (99.9%, "
        "binomial) outside 0.93 to 0.97. Prompts differ in difficulty, and all texts of a prompt share it.",
        [partial(instance_coverage, kind, prompts, texts) for kind in HITS for prompts, texts in SHAPES],
    ),
    "Coverage over held-out runs": (
        "The interval of a mean over folds, each a fit tested on the runs that it did not learn from. Levels, and the "
        "accident of each run, are planted; fits and folds are those of a result. The band is as above, without an "
        "upper end where fits have little in common: the interval is then wider than it has to be. The rows that must "
        "fail take folds as independent.",
        validity_factors.PARTS,
    ),
    "Size of tests": (
        "In these experiments there is nothing to find: the number of p-values below 0.05 must not exceed its 99.9% "
        "quantile.",
        [attributor_size, divergence_size, *validity_factors.SIZES],
    ),
    "Crossed seeds": (
        "Grids of 4 x 4 models, each value of one seed with each of another, with planted parts of the variance of a "
        "token's log-probability between models. Models differ in few directions or in many. A row is about the part "
        "whose interval contains the truth least often; the band has no upper end, because these intervals are wider "
        "than they have to be. The row that must fail takes tokens as independent. In the last rows one seed does "
        "nothing, the other one does much, and the first is guessed on models whose value of the second is held out.",
        validity_crossed.PARTS,
    ),
    "Descent and trends": (
        "Again nothing is to be found. Texts are of a model whose ancestor nobody knows, and each stranger has an "
        "ancestor of its own; distances between models know nothing of their ancestors; lines neither rise nor fall. "
        "The row that must fail takes descendants of other known ancestors for strangers.",
        validity_descent.PARTS,
    ),
    POOL: (
        "36 real models that differ in their seeds alone, the variants of `null_factor_id` at `quick` with twelve "
        "replicates. In each of many draws, some get levels and replicates at random, so that there is no factor. "
        "Draws share models, so their number counts for less than it seems.",
        [
            *(partial(pool_coverage, replicates) for replicates in REPLICATES),
            *(partial(pool_equivalence, replicates, MARGINS[0]) for replicates in REPLICATES),
            *(partial(pool_equivalence, replicates, MARGINS[1]) for replicates in REPLICATES[1:]),
        ],
    ),
}


def _rows(part: Part, amount: Amount) -> list[Row]:
    return [*part(amount)]


def run(amount: Amount, workers: int = 1) -> dict[str, list[Row]]:
    """Compute all rows, by section, in so many processes."""
    sections = {title: parts for title, (_, parts) in SECTIONS.items() if amount.pool or title != POOL}
    jobs = [(part, amount) for parts in sections.values() for part in parts]
    if workers > 1:
        with multiprocessing.get_context("spawn").Pool(workers) as pool:
            made = pool.starmap(_rows, jobs, chunksize=1)
    else:
        made = [_rows(*job) for job in jobs]
    remaining = iter(made)
    return {title: [row for _ in parts for row in next(remaining)] for title, parts in sections.items()}


def document(sections: dict[str, list[Row]], amount: Amount) -> str:
    """Markdown of all rows."""
    rows = [row for found in sections.values() for row in found]
    lines = [
        "# Validity",
        "",
        "This document compares every statistic with a known truth. `python benchmarks/validity.py` writes it, and "
        "exits with 1 if a row does not hold. All its draws are seeded, so it writes the same document again.",
        "",
        f"Each planted source has {amount.texts} texts, each attributor {amount.draws} draws, each coverage "
        f"{amount.experiments} experiments ({amount.folds} over held-out runs), each size {amount.nulls} or more, "
        f"and each row on real models {amount.pool} draws. "
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
    parser = argparse.ArgumentParser(description="Compare every statistic with a known truth.")
    parser.add_argument("--quick", action="store_true", help="fewer experiments, no real models, one process")
    parser.add_argument("-o", "--output", type=Path, help="the document to write (docs/validity.md unless --quick)")
    parser.add_argument(
        "--data", type=Path, help="the JSON file for its rows (the report's simulations.json unless --quick)"
    )
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
