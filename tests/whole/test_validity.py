"""The script that checks validity: its arithmetic, and a short run."""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
import validity
import validity_crossed as crossed_seeds
import validity_experiments as experiments
import validity_sources as sources


def test_truth_of_single_words_is_that_of_the_table() -> None:
    start = np.array([[0.5, 0.3, 0.2], [0.2, 0.3, 0.5]])
    source = sources.Chains(start, np.repeat(start[:, None], 3, axis=1), np.arange(2))
    accuracy, information = source.truth(1)
    assert accuracy == pytest.approx((0.5 + 0.3 + 0.5) / 2)
    # Seven words in ten narrow it down to 5 : 2, the middle one says nothing.
    assert information == pytest.approx(0.7 * (1 + 5 / 7 * math.log2(5 / 7) + 2 / 7 * math.log2(2 / 7)))
    kl = 0.5 * math.log2(2.5) + 0.2 * math.log2(0.4)
    for length in (1, 2, 7):
        assert source.mean_kl(length) == pytest.approx(np.array([[0, kl], [kl, 0]]))


def test_divergence_by_the_chain_rule_is_that_of_enumeration() -> None:
    for source in sources.CASES.values():
        every = np.array([*itertools.product(range(3), repeat=5)])
        logs = source.log_likelihood(every)
        assert np.exp(logs).sum(0) == pytest.approx(np.ones(len(source.classes)))
        kl = (np.exp(logs)[:, :, None] * (logs[:, :, None] - logs[:, None, :])).sum(0) / math.log(2) / 5
        assert source.mean_kl(5) == pytest.approx(kl, abs=1e-12)


def test_samples_follow_the_chains() -> None:
    source = sources.CASES["3 Markov sources"]
    words, variant = source.sample(2000, 3, "tests")
    every = np.array([*itertools.product(range(3), repeat=3)])
    for index in range(3):
        seen = np.bincount(words[variant == index] @ [9, 3, 1], minlength=27)
        expected = 2000 * np.exp(source.log_likelihood(every)[:, index])
        assert scipy.stats.chisquare(seen, expected).pvalue > 1e-3


@pytest.mark.parametrize("number", [200, 2000])
def test_band_is_what_it_says(number: int) -> None:
    binom, (low, high) = scipy.stats.binom, experiments.band(number)
    below, above = round(low * number), round(high * number)
    assert binom.cdf(below - 1, number, 0.93) < 0.0005 <= binom.cdf(below, number, 0.93)
    assert binom.sf(above, number, 0.97) <= 0.0005 < binom.sf(above - 1, number, 0.97)


def test_the_population_is_what_is_drawn() -> None:
    """Bits of the rows as `metrics` defines them, averaged over the table of hits."""
    from natfp_bench.statistics import per_text

    for kind, hits in experiments.HITS.items():
        total = 0.0
        for difficulty, level in itertools.product(range(2), range(3)):
            sure = experiments.CONFIDENCE[level]
            row = np.array([[sure, (1 - sure) / 2, (1 - sure) / 2]] * 2)
            right, wrong = per_text.bits(row, np.array([0, 1]))
            total += (hits[difficulty, level] * right + (1 - hits[difficulty, level]) * wrong) / 6
        assert experiments.population(kind)["bits"] == pytest.approx(total)


def test_a_row_that_does_not_hold_fails_the_script(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def rows(holds: bool, _: object) -> Iterator[object]:
        yield validity.Row("sum", "4", "4", "exact", True)
        yield validity.Row("other sum", "4", "4" if holds else "5", "exact", holds)

    for holds, code in [(True, 0), (False, 1)]:
        monkeypatch.setattr(validity, "SECTIONS", {"Sums": ("Of two and two.", [partial(rows, holds)])})
        assert validity.main(["--quick", "-o", str(tmp_path / "new" / "validity.md")]) == code
    text = (tmp_path / "new" / "validity.md").read_text()
    assert "1 of 2 rows hold" in text
    assert "| other sum | 4 | 5 | exact | **no** |" in text


def test_document_and_data_are_of_one_run() -> None:
    """Reports show the data, the repository the document."""
    sections = {
        section["title"]: [validity.Row(**row) for row in section["rows"]]
        for section in json.loads(validity.DATA.read_text())
    }
    assert validity.data(sections) == validity.DATA.read_text()
    assert validity.document(sections, validity.FULL) == validity.DOCUMENT.read_text()


def test_size_counts_what_is_no_p_value_as_a_failure() -> None:
    assert experiments.size("fine", np.full(200, 0.5)).holds
    assert experiments.size("at its limit", np.repeat([0.01, 0.5], [21, 179])).holds
    assert not experiments.size("too many", np.repeat([0.01, 0.5], [22, 178])).holds
    assert not experiments.size("none", np.full(200, math.nan)).holds


@pytest.mark.slow
def test_every_statistic_says_what_is_true(tmp_path: Path) -> None:
    output = tmp_path / "validity.md"
    code = validity.main(["--quick", "-o", str(output)])
    text = output.read_text()
    assert code == 0, [line for line in text.splitlines() if "**no**" in line]
    # The document is of this script; which baselines there are is no matter of its own.
    names = re.compile(r"^\| (?!.*: accuracy of `)(.*?) \|", re.MULTILINE)
    # Real models take half an hour to train, and are left out.
    simulated, _, real = validity.DOCUMENT.read_text().partition(f"## {validity.POOL}")
    assert names.findall(text) == names.findall(simulated)
    assert real.count("| yes |") == len(names.findall(real)) - 1  # all rows but the head of the table


def test_parts_of_a_crossing_are_covered() -> None:
    """The short form of what the document says of crossed seeds."""
    amount = sources.Amount(0, 0, 0, 40, 10, 0)
    rows = [
        *crossed_seeds.parts_coverage("small parts", 10, amount),
        *crossed_seeds.parts_coverage("large parts", 1, amount),
        *crossed_seeds.tokens_as_units(amount),
        *crossed_seeds.one_seed(amount),
    ]
    assert [row.what for row in rows if not row.holds] == []
    assert len(rows) == 5
    # The bands of so few experiments are wide, so what is seen is compared with what the full run saw, too.
    assert float(rows[0].seen) >= 0.95
    assert float(rows[1].seen) >= 0.8
