"""Evidence: what a run has found, read from its store, against what lies there."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from bench import BRIEF, Bench, gathered

from natfp_bench.corpus import tokens
from natfp_bench.models import sample
from natfp_bench.models.sample import SampleSet
from natfp_bench.pipeline.evidence import Evidence, SampleTotals
from natfp_bench.pipeline.result import Result
from natfp_bench.pipeline.stages.sample import read_samples
from natfp_bench.statistics.curves import Curve, Robustness


def drawn(evidence: Evidence, number: int) -> SampleSet:
    """All texts of a variant, as they lie in the store."""
    return read_samples(evidence.store, evidence.kept[number].samples)


def test_variants_stand_replicate_by_replicate(evidence: Evidence) -> None:
    levels = ["low", "middle", "high"]
    assert evidence.names == [f"{level}/r{r}" for r in range(3) for level in levels]
    assert evidence.levels == levels * 3
    assert evidence.replicates.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]


def test_levels_are_told_on_unseen_replicates_where_there_are_two(evidence: Evidence) -> None:
    assert evidence.splits("level") == ("unseen_replicate", "seen_replicate")
    assert evidence.splits("instance") == ("unseen_prompt",)
    alone = replace(evidence, kept=evidence.kept[:3])
    assert alone.splits("level") == ("unseen_prompt",), "when only one replicate is whole"


def test_test_texts_are_those_of_the_test_prompts(evidence: Evidence) -> None:
    texts = evidence.texts
    assert len(texts) == 9 * 25
    assert texts.source.tolist() == [v for v in range(9) for _ in range(25)]
    for number in range(9):
        mine, samples = texts.source == number, drawn(evidence, number)
        assert texts.rows[mine].tolist() == texts.prompts[mine].tolist() == list(range(3, 100, 4))
        kept = samples.take(texts.rows[mine])
        assert [ids for ids, own in zip(texts.ids, mine, strict=True) if own] == kept.ids
        assert texts.lengths[mine].tolist() == kept.lengths.tolist()
        assert texts.bytes[mine].tolist() == [len(text.encode()) for text in kept.texts]


def test_own_likelihoods_are_those_of_the_sampler(evidence: Evidence) -> None:
    texts, found = evidence.texts, evidence.log_likelihood()
    assert found.shape == (225, 9)
    for number in range(9):
        mine = texts.source == number
        known = drawn(evidence, number).log_probability[texts.rows[mine]]
        assert found[mine, number] == pytest.approx(known, abs=2e-3)
    # And a text is likelier under its own model than under another, on average.
    own = found[np.arange(225), texts.source]
    assert all(own[texts.source == v].mean() > found[texts.source == v, (v + 1) % 9].mean() for v in range(9))


def test_likelihoods_of_beginnings_are_sums_of_tokens(evidence: Evidence) -> None:
    for length in (1, 7, 32):
        expected = np.column_stack([scores[:, :length].astype(float).sum(axis=1) for scores in evidence.token_scores])
        assert np.array_equal(evidence.log_likelihood(length), expected)
    assert np.array_equal(evidence.log_likelihood(32), evidence.log_likelihood())
    beyond = np.arange(32) >= evidence.texts.lengths[:, None]
    assert all((scores[beyond] == 0).all() for scores in evidence.token_scores)


def test_answers_are_read_by_baseline_target_and_fold(evidence: Evidence) -> None:
    folds = {(target, fold) for _, target, fold in evidence.predictions}
    assert folds == {("level", 0), ("level", 1), ("level", 2), ("instance", 0)}
    assert len(evidence.predictions) == 3 * 4
    for name, target, fold in evidence.predictions:
        proba = evidence.proba(name, target, fold)
        assert proba.shape == (225, 3 if target == "level" else 9)
        np.testing.assert_allclose(proba.sum(axis=1), 1)
    one, other = (evidence.proba("unigram", "level", fold) for fold in (0, 1))
    assert not np.array_equal(one, other), "fits of other folds"


def test_studies_are_read_as_their_records(evidence: Evidence) -> None:
    assert set(evidence.studies) == {
        "permutation",
        "robustness",
        "length",
        "train_texts",
        "wording",
        "pooled",
        "classes",
    }
    (curve,) = evidence.studied("pooled", Curve)
    assert (curve.name, curve.split) == ("pooled", "unseen_replicate")
    assert len(evidence.studied("robustness", Robustness)) == 1 + 2 * 6
    assert replace(evidence, studies={}).studied("pooled", Curve) == []


def test_samples_are_counted_and_their_digest_is_of_all_tokens(evidence: Evidence) -> None:
    sets = [drawn(evidence, number) for number in range(9)]
    found = evidence.samples
    assert found.texts == 900
    assert found.tokens == sum(int(samples.lengths.sum()) for samples in sets)
    assert found.ended == sum(int(samples.ended.sum()) for samples in sets)
    tables = [evidence.sample_table(of) for of in evidence.kept]
    assert SampleTotals.of(tables) == found
    assert SampleTotals.of([tables[1], tables[0], *tables[2:]]).digest != found.digest
    assert SampleTotals.of([tables[0].slice(0, 99), *tables[1:]]).digest != found.digest


# Texts of tokenizers that differ.

TOKENIZERS = """\
task: tokens
version: 1
summary: Two vocabularies.
replicates: 2
factor:
  name: vocabulary
  fields: [tokenizer.vocabulary]
  levels: {usual: x1, bytes: 257}
"""


@pytest.fixture(scope="module")
def other_tokens(bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> tuple[Evidence, Result]:
    """Evidence and result of a brief run over two tokenizers."""
    folder = tmp_path_factory.mktemp("tokens")
    (folder / "tokens.yaml").write_text(TOKENIZERS)
    return gathered(bench, "tokens", include=[folder], overrides=BRIEF, baselines="majority")[:2]


def test_texts_are_compared_at_equal_bytes(other_tokens: tuple[Evidence, Result]) -> None:
    evidence = other_tokens[0]
    texts = evidence.texts
    assert texts.bytes.max() == 32
    for number in range(4):
        mine = texts.source == number
        cut = sample.cut_bytes(drawn(evidence, number), 32).take(texts.rows[mine])
        assert texts.bytes[mine].tolist() == [len(text.encode()) for text in cut.texts]


def test_every_model_reads_every_text_in_its_own_tokens(other_tokens: tuple[Evidence, Result]) -> None:
    evidence = other_tokens[0]
    texts = evidence.texts
    for number, of in enumerate(evidence.kept):
        tokenizer = tokens.load_tokenizer(of.model.folder(evidence.store) / "tokenizer.json")
        end = tokenizer.token_to_id(tokens.END)
        scores = evidence.token_scores[number]
        for source in range(4):
            mine = texts.source == source
            cut = sample.cut_bytes(drawn(evidence, source), 32).take(texts.rows[mine])
            lengths = sample.retokenised(cut, tokenizer, end).lengths
            scored = scores[mine]
            assert (scored[np.arange(32) < lengths[:, None]] < 0).all()
            assert (scored[np.arange(32) >= lengths[:, None]] == 0).all()


def test_likelihoods_of_other_tokens_are_a_reference_and_no_ceiling(other_tokens: tuple[Evidence, Result]) -> None:
    result = other_tokens[1]
    assert {score.attributor.name for score in result.scores} == {"majority", "likelihood_reference"}
    assert {score.split for score in result.scores} == {"unseen_replicate", "seen_replicate", "unseen_prompt"}
    assert all(score.extraction is None for score in result.scores)
    assert [one.self_check for one in result.likelihood] == [None] * 2
    assert not any("ceiling" in check.name or "agree" in check.name for check in result.checks)
    assert result.mean_kl.unit == "byte"
    assert all(row[i].value == 0 for i, row in enumerate(result.mean_kl.divergence))
    study_ = result.study
    assert (study_.by_position, study_.by_type) == ((), ())
    assert study_.length.unit == "bytes"
    assert [point.at for point in study_.length.points] == [8, 16, 32]
    assert {point.ceiling for point in study_.length.points} == {None}
    assert study_.failed == {}
    assert [gap.attributor for gap in study_.gaps] == ["majority"], "gaps are of attributors of texts"
    assert result.failures == []


def test_mean_kl_is_per_byte(other_tokens: tuple[Evidence, Result]) -> None:
    evidence, result = other_tokens
    texts, found = evidence.texts, evidence.log_likelihood()
    for i in range(4):
        mine = texts.source == i
        for j in range(4):
            bits = (found[mine, i] - found[mine, j]).sum() / np.log(2) / texts.bytes[mine].sum()
            assert result.mean_kl.divergence[i][j].value == pytest.approx(bits)


def test_attributors_see_the_cut_texts(other_tokens: tuple[Evidence, Result]) -> None:
    evidence = other_tokens[0]
    for prediction in evidence.predictions.values():
        shown = [text for part in prediction.read_texts(evidence.store) for text in part.texts]
        assert max(len(text.encode()) for text in shown) == 32
