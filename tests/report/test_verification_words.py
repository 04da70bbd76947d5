"""The table and the sentence of a verification of descent."""

from __future__ import annotations

from natfp_bench.pipeline.result import FactorStudy
from natfp_bench.report.verification_words import recognised_sentence, verification_sentence, verification_table
from natfp_bench.statistics.intervals import Interval
from natfp_bench.statistics.verification import Against, Verification, Verified


def figure(value: float) -> Interval:
    return Interval(value=value, low=value - 0.1, high=value + 0.1, method="t", units="replicates", n_units=5)


def against(models: int, one: Interval | None, other: Interval | None = None) -> Against:
    return Against(models=models, auroc=figure(0.8), tpr_at_5_percent_fpr=one, tpr_at_1_percent_fpr=other)


def study(strangers: int, *found: Verified) -> FactorStudy:
    made = Verification(ancestors=4, descendants=20, strangers=strangers, found=found)
    return FactorStudy(reference="unigram", verification=made)


def test_columns_without_figures_are_left_out() -> None:
    assert verification_table(None) is None
    assert verification_table(FactorStudy(reference="unigram")) is None
    table = verification_table(study(0, Verified(attributor="unigram", size=1, others=against(20, None))))
    assert table
    assert table.columns == ["attributor", "texts", "against", "AUROC"]
    assert table.rows == [["unigram", "1", "other descendants", "0.80 0.70–0.90"]]
    assert "--set analysis.strangers=19" in table.caption
    assert "of 1% takes 99, and there are 20 models" in table.caption
    assert "of 5%" not in table.caption, "twenty models fix that threshold"


def test_strangers_have_a_row_of_their_own() -> None:
    one = Verified(
        attributor="unigram",
        size=100,
        others=against(20, figure(0.6)),
        strangers=against(19, figure(0.4)),
        recognised=figure(0.3),
        false_alarms=figure(0.12),
    )
    table = verification_table(study(19, one))
    assert table
    assert table.columns[4:] == ["TPR at 5% FPR", "p ≤ 0.05", "false alarms"]
    assert [list(row)[3:] for row in table.rows if isinstance(row, list)] == [
        ["0.80 0.70–0.90", "0.60 0.50–0.70", "", "0.12 0.02–0.22"],
        ["0.80 0.70–0.90", "0.40 0.30–0.50", "0.30 0.20–0.40", ""],
    ]
    assert recognised_sentence(study(19, one)) == (
        "Does a model come from one of these at all? Against 19 models of unknown ancestors, unigram shows the true "
        "ancestor with a p-value of at most 0.05 for this share of the descendants: 0.30 (95% interval 0.20 to 0.40) "
        "by 100 texts. It shows a wrong one for a share of 0.12 at most."
    )
    alone = one.model_copy(update={"size": 1})
    few = one.model_copy(update={"recognised": None, "false_alarms": None})
    for other in (alone, few, one.model_copy(update={"attributor": "likelihood_reference"})):
        assert recognised_sentence(study(19, other)) == ""
    assert recognised_sentence(None) == ""
    verification = study(19, one).verification
    assert verification
    said = verification_sentence(verification)
    assert "Strangers are 19 models of the same making" in said
    assert "there are 20 models and 19 models" in said
    assert said.endswith("about these ancestors, and about descendants that are made in this way.")
