"""The table and the sentences of mixed streams."""

from __future__ import annotations

from natfp_bench.pipeline.result import FactorStudy
from natfp_bench.report.dilution_words import dilution_answer, dilution_fact, dilution_finding, dilution_table
from natfp_bench.statistics.dilution import AtShare, Diluted, Dilution


def at(share: float, coverage: float, trusted: float | None) -> AtShare:
    return AtShare(
        share=share,
        estimate=share + 0.01,
        low=max(0.0, share - 0.1),
        high=share + 0.1,
        bias=0.01,
        spread=0.02,
        coverage=coverage,
        detected=0.5,
        uncorrected=trusted,
    )


def diluted(name: str, texts: int, smallest: float | None, *, exact: bool = False) -> Diluted:
    trusted = (None, None, None) if exact else (0.3, 0.3, 0.4)
    found = tuple(map(at, (0.0, 0.1, 0.25), (0.98, 0.96, 0.94), trusted))
    return Diluted(attributor=name, texts=texts, streams=240, smallest=smallest, at=found)


def study(*found: Diluted) -> FactorStudy:
    return FactorStudy(reference="unigram", dilution=Dilution(pairs=12, calibration=500, found=found))


MADE = study(
    diluted("words", 100, None),
    diluted("words", 400, 0.1),
    diluted("unigram", 400, None),
    diluted("ceiling", 400, 0.2, exact=True),
)


def test_a_row_for_each_attributor_and_size() -> None:
    table = dilution_table(MADE)
    assert table
    assert table.columns == ["attributor", "texts", "smallest found", "0", "0.1", "0.25", "coverage"]
    assert table.rows == [
        ["words", "100", ">0.25", "0.01 0.00–0.10", "0.11 0.00–0.20", "0.26 0.15–0.35", "0.94–0.98"],
        ["words", "400", "≤0.1", "0.01 0.00–0.10", "0.11 0.00–0.20", "0.26 0.15–0.35", "0.94–0.98"],
        ["unigram", "400", ">0.25", "0.01 0.00–0.10", "0.11 0.00–0.20", "0.26 0.15–0.35", "0.94–0.98"],
        ["ceiling", "400", "0.20", "0.01 0.00–0.10", "0.11 0.00–0.20", "0.26 0.15–0.35", "0.94–0.98"],
    ]
    assert table.plain(narrow=True).columns == ["attributor", "texts", "smallest found", "0", "0.25", "coverage"]
    assert "240 streams" in table.caption
    assert "would be off by up to 0.30 (words, true share 0)" in table.caption


def test_the_finding_is_about_the_reference_and_the_likelihoods() -> None:
    said = dilution_finding(MADE)
    assert said.startswith("of 400 texts, if some are by one of these models")
    assert said.endswith("unigram finds no share that was tried and ceiling finds a share of 0.20")
    answer = dilution_answer(MADE)
    assert answer.startswith("Of 400 texts, if some are by one of these models")
    assert "Intervals contain the true share in 0.94–0.98 of the streams (unigram) and" in answer
    assert dilution_finding(study(diluted("unigram", 400, 0.1))).endswith("unigram finds a share of 0.10 or less")
    assert dilution_fact(MADE) == said


def test_nothing_is_said_if_nothing_was_asked_and_why_if_nothing_was_found() -> None:
    plain, empty = FactorStudy(reference="unigram"), study()
    assert dilution_table(None) is None
    assert dilution_table(plain) is None
    assert dilution_table(empty) is None
    assert dilution_finding(empty) == ""
    assert dilution_fact(plain) == ""
    assert "fewer than four test prompts in common" in dilution_fact(empty)
